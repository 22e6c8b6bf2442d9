"""socketify, and thus uWebSockets: rooms at /ws/{room}, an echo at /ws/simple, at the port given.

Its own `publish` tells the sender too, so that of the library under it is called, as Weir does
not either. It never drops a message: a slow reader may owe 64 MiB.
"""

import signal
import sys

from socketify import App, OpCode
from socketify.native import lib

SETTINGS = {
    "compression": 0,
    "idle_timeout": 0,
    "max_backpressure": 64 << 20,
    "max_payload_length": 16 << 20,
    "send_pings_automatically": False,
}


def echo(ws, message, opcode):
    ws.send(message, opcode)


def upgrade(res, req, context):
    room = req.get_parameter(0).encode()
    res.upgrade(
        req.get_header("sec-websocket-key"),
        req.get_header("sec-websocket-protocol"),
        req.get_header("sec-websocket-extensions"),
        context,
        room,
    )


def join(ws):
    ws.subscribe(ws.get_user_data())


def tell_others(ws, message, opcode):
    room = ws.get_user_data()
    if isinstance(message, str):
        message = message.encode()
    lib.uws_ws_publish_with_options(
        0, ws.ws, room, len(room), message, len(message), int(opcode), False
    )


app = App()
app.ws("/ws/simple", SETTINGS | {"message": echo})
app.ws("/ws/:room", SETTINGS | {"upgrade": upgrade, "open": join, "message": tell_others})
app.listen({"host": "127.0.0.1", "port": int(sys.argv[1])}, lambda config: None)
# No handler is asynchronous: uWebSockets' own loop waits in the kernel, where asyncio's, around
# it, would ask again and again whether there is something to do.
signal.signal(signal.SIGINT, signal.SIG_DFL)
app.loop.uv_loop.run()
