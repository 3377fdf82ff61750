"""A web page of another origin, in a real browser, can neither read nor change anything through the local port."""

import http.server
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import unittest

from huggingface_hub import HfApi
from nodes import Node

BROWSER = os.environ.get("CLIENTS_BROWSER")
# As somebody who wants to be let in would write it: every way that a page has to ask for something or to send it.
PAGE = """<!doctype html><title>another origin</title><body><script>
const node = "NODE", bearer = {Authorization: "Bearer TOKEN"}, found = {};
const late = new Promise(go => setTimeout(() => go("nothing came of it"), 8000));
const attempt = async (name, work) => {
  try { found[name] = await Promise.race([work(), late]); } catch (error) { found[name] = "refused: " + error.name; }
};
const text = async (url, options) => { const got = await fetch(url, options); return got.type + ":" + await got.text(); };
const element = (tag, name, url) => new Promise(done => {
  const made = document.createElement(tag);
  made.onload = () => {
    let seen = "loaded";
    try { if (tag === "iframe") seen += ":" + made.contentDocument.body.innerText; } catch (error) { seen += ":" + error.name; }
    done(seen);
  };
  made.onerror = () => done("refused");
  if (tag === "link") made.rel = "stylesheet";
  made[name] = url;
  document.body.append(made);
});
const request = (method, url, headers, body) => new Promise(done => {
  const made = new XMLHttpRequest();
  made.open(method, url);
  for (const name in headers) made.setRequestHeader(name, headers[name]);
  made.onload = () => done("read:" + made.responseText);
  made.onerror = () => done("refused");
  made.send(body);
});
const form = (enctype, values) => new Promise(done => {
  const frame = document.createElement("iframe"), made = document.createElement("form");
  frame.name = "f" + Math.random();
  document.body.append(frame);
  Object.assign(made, {method: "post", action: node + ALIASES, target: frame.name, enctype});
  for (const name in values) {
    const field = document.createElement("input");
    Object.assign(field, {type: "hidden", name, value: values[name]});
    made.append(field);
  }
  document.body.append(made);
  frame.onload = () => done("sent");
  made.submit();
});
const ALIASES = "/weft/v1/aliases", change = 'CHANGE', file = node + "FILE";
(async () => {
  await attempt("control", () => text("/readable"));
  await attempt("open control", () => text("OPEN"));
  for (const path of [file, node + "/api/models", node + "/health", node + "/weft/v1/status"]) {
    await attempt("fetch " + path, () => text(path));
    await attempt("fetch with the token " + path, () => text(path, {headers: bearer}));
    await attempt("fetch with cookies " + path, () => text(path, {credentials: "include"}));
    await attempt("fetch without cors " + path, () => text(path, {mode: "no-cors"}));
    await attempt("xhr " + path, () => request("GET", path, {}));
  }
  await attempt("image", () => element("img", "src", node + "IMAGE"));
  await attempt("script", () => element("script", "src", node + "SCRIPT"));
  await attempt("style", () => element("link", "href", file));
  await attempt("frame", () => element("iframe", "src", file));
  await attempt("socket", () => new Promise(done => {
    const made = new WebSocket(node.replace("http", "ws") + ALIASES);
    made.onopen = () => done("open"); made.onerror = () => done("refused");
  }));
  for (const type of ["text/plain", "application/json", "application/x-www-form-urlencoded"]) {
    for (const mode of ["cors", "no-cors"]) {
      const options = {method: "POST", mode, headers: {"Content-Type": type, ...bearer}, body: change};
      await attempt("post " + type + " " + mode, () => text(node + ALIASES, options));
    }
    await attempt("xhr post " + type, () => request("POST", node + ALIASES, {"Content-Type": type, ...bearer}, change));
    await attempt("beacon " + type, async () => "sent " + navigator.sendBeacon(node + ALIASES, new Blob([change], {type})));
  }
  for (const method of ["PUT", "DELETE", "PATCH"]) {
    await attempt(method, () => text(node + "/api/repos/delete", {method, headers: bearer, body: REMOVE}));
  }
  await attempt("create", () => text(node + "/api/repos/create", {method: "POST", mode: "no-cors", headers: bearer, body: CREATE}));
  await attempt("form", () => form("text/plain", {[change.slice(0, -1) + ',"x":"']: '"}'}));
  await attempt("form of values", () => form("application/x-www-form-urlencoded", JSON.parse(change)));
  await fetch("/found", {method: "POST", body: JSON.stringify(found)});
})();
const REMOVE = 'DELETION', CREATE = 'CREATION';
</script>"""


@unittest.skipUnless(BROWSER, "no browser")
class Browser(unittest.TestCase):
    def test_a_page_elsewhere_can_neither_read_nor_write(self):
        folder = tempfile.TemporaryDirectory(dir=os.environ["CLIENTS_SCRATCH"])
        self.addCleanup(folder.cleanup)
        folder = pathlib.Path(folder.name)
        node = Node(folder, "node").start()
        self.addCleanup(node.stop)
        node.weft("id", "new", "--alias", "alice")
        secret = "what nobody elsewhere may read"
        (folder / "m").mkdir()
        (folder / "m" / "secret.txt").write_text(secret)
        (folder / "m" / "secret.js").write_text(f"document.title = '{secret}'")
        # The smallest picture there is.
        picture = "47494638396101000100800100000000ffffff2c00000000010001000002024401003b"
        (folder / "m" / "secret.gif").write_bytes(bytes.fromhex(picture))
        reference = node.weft("publish", folder / "m")["reference"].removeprefix("weft:").partition("@")[0]
        publisher = reference.partition("/")[0]
        writer = node.weft("env", "--hf")["HF_TOKEN"]
        change = json.dumps({"name": "mallory", "publisher": publisher}, separators=(",", ":"))
        commit = HfApi(endpoint=node.endpoint, token=False).model_info(reference).sha

        def page(token):
            words = {
                "NODE": node.endpoint, "TOKEN": token, "CHANGE": change, "DELETION": json.dumps({"name": reference}),
                "CREATION": json.dumps({"name": "created", "organization": "alice"}),
                "FILE": f"/{reference}/resolve/{commit}/secret.txt",
                "IMAGE": f"/{reference}/resolve/{commit}/secret.gif",
                "SCRIPT": f"/{reference}/resolve/{commit}/secret.js",
            }
            made = PAGE
            for word, value in words.items():
                made = made.replace(word, value)
            return made

        def aliases():
            return node.weft("alias"), [model.id for model in HfApi(endpoint=node.endpoint, token=False).list_models()]

        before = aliases()
        # On the same host and another port, which is another origin of the same site, and under another name.
        for name, token in (("127.0.0.1", node.token), ("localhost", writer), ("elsewhere.example", node.token)):
            found = visit(page(token), name, folder)
            self.assertEqual(found.pop("control"), "basic:read me", "the page can read what it may")
            self.assertEqual(found.pop("open control"), "cors:read me", "and what lets all in")
            self.assertGreater(len(found), 40, found)
            for what, came in found.items():
                self.assertNotIn(secret, came, what)
                self.assertTrue(came.startswith(("refused", "opaque:", "sent", "loaded:")) or "nothing" in came, (what, came))
                self.assertIn(came, ("opaque:", came.replace("opaque:", "")), what)
                if what in ("image", "script", "style", "socket"):
                    self.assertEqual(came, "refused", what)
        self.assertEqual(aliases(), before)


def visit(page, name, folder):
    """Lets the browser load the page from a server of that name; what it could do."""
    found, there = {}, threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if self.path == "/" else "text/plain")
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()
            # Under its other name it is another origin.
            own = page.replace("OPEN", f"http://{'localhost' if name != 'localhost' else '127.0.0.1'}:{server.server_address[1]}/open")
            self.wfile.write(own.encode() if self.path == "/" else b"read me")

        def do_POST(self):
            found.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            there.set()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    profile = folder / f"profile-{name}"
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
        f"--user-data-dir={profile}", "--remote-debugging-port=0", "--host-resolver-rules=MAP elsewhere.example 127.0.0.1",
        f"http://{name}:{server.server_address[1]}/",
    ]
    log = open(folder / "browser.log", "ab")
    # A group of its own: what is started may be a script, whose end would leave the browser behind.
    browser = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "HOME": str(folder)},
                               start_new_session=True)
    try:
        if not there.wait(120):
            raise AssertionError("the page did not run: " + (folder / "browser.log").read_text()[-3000:])
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()
        server.shutdown()
        server.server_close()
    return found
