def check(ctx, input):
    return input
