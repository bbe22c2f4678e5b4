// A pane that fails says so, and the rest of the page goes on.
import { Component, type ReactNode } from "react";

export class Boundary extends Component<{ children: ReactNode; what: string }, { error: Error | null }> {
  override state = { error: null as Error | null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    if (!this.state.error) return this.props.children;
    return (
      <div className="pad">
        <div className="problem" role="alert">
          <div>{this.props.what} could not be shown: {this.state.error.message}</div>
          <div><button className="small" onClick={() => this.setState({ error: null })}>Try again</button></div>
        </div>
      </div>
    );
  }
}
