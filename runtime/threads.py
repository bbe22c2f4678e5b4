"""``isolation: thread``: short blocking code in a few threads of the worker.

A thread can't be killed. A cancelled call is left alone: its caller goes on at once, ``ctx.cancelled`` tells the
handler, its result is dropped, and it keeps its slot until it returns. So this is for code that is known to be short;
a plain ``def`` runs in a child process unless its node asks for a thread. The threads are daemons: one that never ends
does not keep its worker from ending.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from .context import Context, cancel
from .failures import failure_of
from .limits import THREAD_SLOTS


class HandlerExited(Exception):
    """A handler called ``sys.exit``: in a thread that ends nothing but the handler."""

    def __init__(self, error: SystemExit) -> None:
        self.failure: Final = failure_of(error)
        super().__init__(self.failure.message)


class Threads:
    """At most ``slots`` calls at a time; the others wait in the order they came."""

    def __init__(self, slots: int = THREAD_SLOTS) -> None:
        self.slots: Final = slots
        self._changed: Final = threading.Condition()
        self._work: Final[deque[Callable[[], None]]] = deque()
        self._threads = 0
        self._free = 0
        self._stopped = False

    @property
    def waiting(self) -> int:
        """Calls that wait for a thread."""
        return len(self._work)

    async def run(self, function: Callable[[Context, Any], Any], context: Context, argument: Any) -> Any:
        """Call a handler in a thread; return what it returns, raise what it raises.

        An ``async def`` runs on a loop of its own there. ``sys.exit`` raises ``HandlerExited``.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def call() -> None:
            outcome, result = _outcome(function, context, argument)
            try:
                loop.call_soon_threadsafe(_settle, done, outcome, result)
            except RuntimeError:
                pass  # the loop is closed: the worker has ended

        self._submit(call)
        try:
            return await done
        except asyncio.CancelledError:
            cancel(context)
            raise

    def stop(self) -> None:
        """Take no more work; threads end when they are done with theirs."""
        with self._changed:
            self._stopped = True
            self._work.clear()
            self._changed.notify_all()

    def _submit(self, call: Callable[[], None]) -> None:
        with self._changed:
            if self._stopped:
                raise RuntimeError("the worker's threads have stopped")
            self._work.append(call)
            if len(self._work) > self._free and self._threads < self.slots:
                self._threads += 1
                threading.Thread(target=self._serve, name=f"axiom-node-{self._threads}", daemon=True).start()
            self._changed.notify()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._free += 1
                self._changed.wait_for(lambda: self._work or self._stopped)
                self._free -= 1
                if not self._work:
                    self._threads -= 1
                    return
                call = self._work.popleft()
            call()


def _outcome(
    function: Callable[[Context, Any], Any], context: Context, argument: Any
) -> tuple[Any, BaseException | None]:
    try:
        if context.cancelled:
            return None, asyncio.CancelledError()
        result = function(context, argument)
        return asyncio.run(result) if inspect.iscoroutine(result) else result, None
    except SystemExit as error:
        return None, HandlerExited(error)
    except StopIteration as error:  # a future refuses it
        return None, RuntimeError(f"the handler raised {error!r}")
    except BaseException as error:
        return None, error


def _settle(done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if done.done():
        return  # cancelled: nobody waits for it
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)
