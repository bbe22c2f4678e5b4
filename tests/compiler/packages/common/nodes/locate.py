def locate(ctx, input):
    return input
