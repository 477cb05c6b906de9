"""Erlang expressions evaluated inside a running node, within a millisecond or so.

The programs that administer a node start a virtual machine of their own at every call. Instead of that the node listens
on a socket file of its private folder and evaluates what it is sent. Knows nothing of what the node does.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from pathlib import Path
from typing import Final

from .process import DEADLINE

# Expressions for `erl -eval`. An answer is "ok" or "no" and a binary as it is, or any other term in Erlang's notation.
_LISTENER: Final = """
Evaluate = fun(Code) ->
  try
    {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Code)),
    {ok, Parsed} = erl_parse:parse_exprs(Tokens),
    case erl_eval:exprs(Parsed, []) of
      {value, Text, _} when is_binary(Text) -> [<<"ok">>, Text];
      {value, Term, _} -> [<<"ok">>, unicode:characters_to_binary(io_lib:format("~0tp", [Term]))]
    end
  catch Kind:Reason:Trace ->
    [<<"no">>, unicode:characters_to_binary(io_lib:format("~0tp", [{Kind, Reason, Trace}]))]
  end
end,
Serve = fun Serve(Socket) ->
  case gen_tcp:recv(Socket, 0) of
    {ok, Code} -> gen_tcp:send(Socket, Evaluate(Code)), Serve(Socket);
    {error, _} -> gen_tcp:close(Socket)
  end
end,
spawn(fun() ->
  file:delete("PATH"),
  {ok, Listener} = gen_tcp:listen(0, [binary, {packet, 4}, {active, false}, {backlog, 64}, {ifaddr, {local, "PATH"}}]),
  Accept = fun Accept() ->
    {ok, Socket} = gen_tcp:accept(Listener),
    spawn(fun() -> Serve(Socket) end),
    Accept()
  end,
  Accept()
end)
"""


class ErlangError(Exception):
    """The node could not evaluate an expression; the text is Erlang's."""


class Evaluator:
    """Asks a node that was started with `arguments`.

    Args:
        path: of the socket file, in a folder that is nobody else's: who can write to it can do all that the node can.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    @property
    def arguments(self) -> list[str]:
        """What the command line of the node needs. It answers as soon as all that stands before them is done."""
        return ["-eval", " ".join(_LISTENER.replace("PATH", str(self._path)).split()) + "."]

    def evaluate(self, code: str, *, within: float = DEADLINE) -> str:
        """The value of the expressions `code`: of a binary its text, of any other term how Erlang writes it.

        Threads may ask at the same time; they are answered one after the other.

        Args:
            code: separated by commas; the full stop at the end is not needed.
            within: seconds that it may take.

        Raises:
            ErlangError: it can not be evaluated, or fails.
            OSError: the node does not answer.
        """
        body = code.strip().rstrip(".").encode() + b"."
        with self._lock:
            answer = self._ask(struct.pack(">I", len(body)) + body, within)
        text = answer[2:].decode(errors="replace")
        if answer[:2] != b"ok":
            raise ErlangError(f"{code.strip()}\n{text}")
        return text

    def close(self) -> None:
        """Hang up; the next expression connects anew."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, question: bytes, within: float) -> bytes:
        if self._socket is None:
            self._socket = self._connect()
        try:
            self._socket.settimeout(within)
            self._socket.sendall(question)
            return self._read(*struct.unpack(">I", self._read(4)))
        except BaseException:
            self.close()
            raise

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        with contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            connection.settimeout(DEADLINE)
            connection.connect(str(self._path))
            stack.pop_all()
        return connection

    def _read(self, size: int) -> bytes:
        assert self._socket is not None
        parts: list[bytes] = []
        while size:
            part = self._socket.recv(min(size, 1 << 16))
            if not part:
                raise ConnectionResetError("the node has hung up")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def quoted(text: str) -> str:
    """`text` as an Erlang binary."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'<<"{escaped}"/utf8>>'
