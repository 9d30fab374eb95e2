"""Requests as no browser sends them, for servers that must answer each with a refusal, and answer others meanwhile."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx

ORIGINS = ("http://[", "http://", "null", "http://[::1", "//", "http://%00", b"\xff\xfe", "x" * 60_000, "javascript:1")
HOSTS = ("", "[", "[::1", "evil", ":", "127.0.0.1:99999", "127.0.0.1:x", b"\xff", "a" * 5000, "0x7f.1", "a@127.0.0.1")
LENGTHS = ("-1", "abc", "1e9", "9" * 4000, "4 4", "+5", "0x10", str(400 * 2**20))
PATHS = (
    "/%00", "/%ff%fe", "/..%2f..%2fetc/passwd", "/../../etc/passwd", "//etc/passwd", "/" + "a" * 60_000, "*", "/\0",
    "/?token=" + "%ff" * 1000, "/?" + "a=b&" * 5000, "http://evil/", "/ x", "/pictures/x?side=1",
    "/api/session?rater=%00", "/pictures/%2e%2e?side=384", "/page/%2e%2e%2fserver.py", "/?deep_link=%00",
    f"/api/faces?rater=a&start={10**23}",
    "/gradio_api/file=/etc/passwd", "/gradio_api/file=%00", "/gradio_api/file=" + "a" * 5000, "/gradio_api/queue/data",
    "/gradio_api/call/none/x", "/gradio_api/upload_progress?upload_id=x", "/gradio_api/stream/x/-1/z.ts",
    "/gradio_api/proxy=http://169.254.169.254/", "/gradio_api/custom_component/x/y/z/../../../../etc/passwd",
    "/static/../../etc/passwd", "/assets/..%2f..%2f..%2fetc%2fpasswd", "/gradio_api/component_server", "/monitoring",
)  # fmt: skip
BODIES = (
    "[" * 40_000, '{"a":' * 40_000, "NaN", "1" * 5000, '"\\ud800"', "null", "[]", "{}", "\0",
    '{"data":null,"fn_index":0}', '{"rater":"\\u0000","face":"x","label":"keep"}',
    '{"data":[],"fn_index":-1,"session_hash":"x"}', '{"data":[],"fn_index":99999,"session_hash":"x"}',
    '{"data":[],"fn_index":1e400,"session_hash":{}}',
    '{"data":[[[[]]]],"fn_index":0,"session_hash":"../../x","event_data":{"a":1}}',
    '{"data":[{"path":"/etc/passwd"}]}', '{"data":[1,2],"fn_index":3}',
    '{"data":{},"api_name":"/restore","session_hash":"\\ud800"}',
)  # fmt: skip
DIRECT = ("/gradio_api/call/none", "/gradio_api/component_server", "/gradio_api/run/predict", "/gradio_api/run/draw")
"""Where else JSON is sent."""
FORM = "multipart/form-data; boundary=b"
FORMS = (
    ("multipart/form-data", b"x"), ("multipart/form-data; boundary=", b"--\r\n"),
    ("multipart/form-data; boundary=" + "x" * 5000, b"x"), ("text/plain", b"{}"), ("", b"{}"),
    (FORM, b'--b\r\nContent-Disposition: form-data; name="files"; filename="x.png"\r\n\r\nx'),
    (FORM, b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n' * 3000 + b"--b--\r\n"),
    (FORM, b"--b\r\nContent-Disposition: " + b"a" * 20_000 + b"\r\n\r\nx\r\n--b--\r\n"),
)  # fmt: skip


def request(host: str, method: str = "GET", path: str = "/", body: bytes = b"", **changes: str | bytes) -> bytes:
    """The bytes of a request; names of headers have "_" for "-"."""
    headers: dict[str, str | bytes] = {"Host": host, "Connection": "close"}
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    if body and not {"Content-Length", "Transfer-Encoding"} & headers.keys():
        headers["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1".encode()]
    for name, value in headers.items():
        lines.append(f"{name}: ".encode() + (value if isinstance(value, bytes) else value.encode()))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def attacks(host: str, post: str) -> dict[str, bytes]:
    """Requests by name; those that send something go to the path `post`."""
    found = {f"origin {value[:20]!r}": request(host, Origin=value) for value in ORIGINS}
    found |= {f"host {value[:20]!r}": request(host, Host=value) for value in HOSTS}
    found |= {f"length {value[:20]!r}": request(host, "POST", post, b"{}", Content_Length=value) for value in LENGTHS}
    found |= {f"path {path[:60]!r}": request(host, path=path) for path in PATHS}
    for path in (post, *DIRECT):
        found |= {
            f"{path} {body[:40]!r}": request(host, "POST", path, body.encode(), Content_Type="application/json")
            for body in BODIES
        }
    for path in (post, "/gradio_api/upload"):
        found |= {f"{path} {kind[:40]} {len(body)}": request(host, "POST", path, body, Content_Type=kind)
                  for kind, body in FORMS}  # fmt: skip
    chunked = request(host, "POST", post, b"zz\r\n\r\n", Transfer_Encoding="chunked")
    return found | {
        "chunks": chunked, "two lengths": request(host, "POST", post, b"0\r\n\r\n", Content_Length="3",
                                                  Transfer_Encoding="chunked"),
        "a web socket": request(host, Upgrade="websocket", Sec_WebSocket_Key="x", Sec_WebSocket_Version="13"),
        "many headers": request(host)[:-2] + b"".join(b"X-%d: y\r\n" % number for number in range(3000)) + b"\r\n",
        "a long header": request(host, X="y" * 200_000), "a long method": request(host, "A" * 3000),
        "TLS": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + random.Random(0).randbytes(300) + b"\r\n\r\n",
        "a range": request(host, Range="bytes=" + "0-1," * 2000), "a cookie": request(host, Cookie="a=" + "x" * 50_000),
        "a token": request(host, Authorization=b"Bearer \xff"), "a tunnel": request(host, "CONNECT", "evil:80"),
    }  # fmt: skip


def answer(address: str, data: bytes) -> int:
    """Send bytes; the status of the answer, or 0 if the server hangs up without one."""
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port), timeout=30) as connection:
        try:
            connection.sendall(data)
            return int(connection.makefile("rb").readline().split(b" ")[1])
        except (ConnectionError, IndexError):
            return 0


def check_answers(address: str, post: str) -> None:
    """Attack a server: nothing may be its error, or keep it from answering."""
    for name, data in attacks(urlsplit(address).netloc, post).items():
        assert answer(address, data) < 500, name
    assert httpx.get(address, timeout=30).status_code == 200


def check_unfinished(address: str, sent: bytes) -> None:
    """Begin 300 requests and finish none: others are answered."""
    place = urlsplit(address)
    with ExitStack() as open_ones:
        for _ in range(300):
            unfinished = open_ones.enter_context(socket.create_connection((place.hostname, place.port), timeout=10))
            unfinished.sendall(sent)
        assert httpx.get(address, timeout=30).status_code == 200
