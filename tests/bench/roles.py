"""The children of the benchmark: each plays one side of a transfer, or hashes, and reports one line of JSON."""

import hashlib
import json
import mmap
import os
import socket
import sys
import time

import measure

BLOCK = 1 << 20


def say(**facts):
    print(json.dumps(facts), flush=True)


class Stopwatch:
    """Wall and processor time of this process from here on."""

    def __init__(self):
        self.cpu = measure.cpu_of_self()
        self.start = time.monotonic()

    def report(self, **facts):
        seconds = time.monotonic() - self.start
        say(seconds=seconds, cpu=measure.cpu_of_self() - self.cpu, **facts)


def tcp_serve(path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        say(port=listener.getsockname()[1])
        while True:
            connection, _ = listener.accept()
            with connection, open(path, "rb") as source:
                connection.sendfile(source)


def tcp_fetch(path, port):
    watch = Stopwatch()
    buffer = memoryview(bytearray(BLOCK))
    with socket.create_connection(("127.0.0.1", int(port))) as connection:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        while count := connection.recv_into(buffer):
            written = 0
            while written < count:
                written += os.write(target, buffer[written:count])
        os.close(target)
    watch.report()


def torrent_make(path, torrent):
    import libtorrent as lt

    maker = lt.create_torrent(lt.list_files(path), 0, lt.create_torrent.v2_only)
    lt.set_piece_hashes(maker, os.path.dirname(path))
    with open(torrent, "wb") as target:
        target.write(lt.bencode(maker.generate()))


def torrent_session(host="127.0.0.1", **more):
    import libtorrent as lt

    # Loopback, and TCP: over uTP the same client is many times slower here.
    return lt.session(
        {
            "listen_interfaces": f"{host}:0",
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_incoming_utp": False,
            "enable_outgoing_utp": False,
            "allow_multiple_connections_per_ip": True,
            "alert_mask": lt.alert.category_t.status_notification
            | lt.alert.category_t.error_notification,
            **more,
        }
    )


def torrent_add(session, torrent, folder, **more):
    import libtorrent as lt

    parameters = lt.add_torrent_params()
    parameters.ti = lt.torrent_info(torrent)
    parameters.save_path = folder
    parameters.flags = lt.torrent_flags.default_flags & ~(
        lt.torrent_flags.auto_managed | lt.torrent_flags.paused
    )
    for name, value in more.items():
        setattr(parameters, name, value(parameters) if callable(value) else value)
    return session.add_torrent(parameters)


def torrent_serve(path, torrent):
    import libtorrent as lt

    session = torrent_session()
    seed = lt.torrent_flags.seed_mode
    torrent_add(session, torrent, os.path.dirname(path), flags=lambda p: p.flags | seed)
    # The port is known once the socket listens.
    port = measure.wait_until(session.listen_port, "libtorrent to listen")
    say(port=port)
    while True:
        session.wait_for_alert(60_000)
        session.pop_alerts()


def torrent_fetch(folder, port, torrent):
    import libtorrent as lt

    os.makedirs(folder)
    session = torrent_session()
    measure.wait_until(session.listen_port, "libtorrent to listen")
    watch = Stopwatch()
    handle = torrent_add(session, torrent, folder)
    handle.connect_peer(("127.0.0.1", int(port)))
    while True:
        session.wait_for_alert(1_000)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.torrent_finished_alert):
                watch.report()
                return
            if isinstance(alert, (lt.torrent_error_alert, lt.file_error_alert)):
                sys.exit(alert.message())


def torrent_member(folder, host, upload, torrent, part):
    """One of a crowd: says its port, then takes a line with the others' addresses as the word to begin, says
    when it has everything, and goes on seeding until its input ends. A `seed` has it from the start."""
    import libtorrent as lt

    # 64 outstanding requests a peer did best here. The limits must hold on loopback too.
    session = torrent_session(host, upload_rate_limit=int(upload), max_out_request_queue=64,
                              ignore_limits_on_local_network=False)
    everybody = session.get_peer_class(lt.session.global_peer_class_id)
    everybody["upload_limit"] = int(upload)
    session.set_peer_class(lt.session.global_peer_class_id, everybody)
    classes = lt.ip_filter()
    classes.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
    session.set_peer_class_filter(classes)
    say(port=measure.wait_until(session.listen_port, "libtorrent to listen"))
    others = json.loads(sys.stdin.readline())
    start = time.monotonic()
    seed = lt.torrent_flags.seed_mode if part == "seed" else 0
    handle = torrent_add(session, torrent, folder, flags=lambda p: p.flags | seed)
    for address in others:
        handle.connect_peer(tuple(address))
    finished = bool(seed)
    while not finished:
        session.wait_for_alert(1_000)
        for alert in session.pop_alerts():
            finished |= isinstance(alert, lt.torrent_finished_alert)
            if isinstance(alert, (lt.torrent_error_alert, lt.file_error_alert)):
                sys.exit(alert.message())
    say(seconds=time.monotonic() - start)
    sys.stdin.read()


def blake3(path, threads):
    from blake3 import blake3 as hasher

    watch = Stopwatch()
    hashed = hasher(max_threads=threads or hasher.AUTO)
    hashed.update_mmap(path)
    watch.report(hash=hashed.hexdigest())


def sha256_one(path):
    """As fast as a file can be hashed: no copies, in blocks that stay in the cache."""
    hashed = hashlib.sha256()
    with open(path, "rb") as source, mmap.mmap(source.fileno(), 0, prot=mmap.PROT_READ) as data:
        for offset in range(0, len(data), BLOCK):
            hashed.update(memoryview(data)[offset : offset + BLOCK])
    return hashed.hexdigest()


def sha256(path):
    watch = Stopwatch()
    watch.report(hash=sha256_one(path))


def sha256_all(folder):
    """Every file of a folder; hashing lets other threads of the interpreter run."""
    from concurrent.futures import ThreadPoolExecutor

    watch = Stopwatch()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        hashes = list(threads.map(sha256_one, (entry.path for entry in os.scandir(folder))))
    watch.report(hash=hashes[0])


ROLES = {
    "tcp-serve": tcp_serve,
    "tcp-fetch": tcp_fetch,
    "torrent-make": torrent_make,
    "torrent-serve": torrent_serve,
    "torrent-fetch": torrent_fetch,
    "torrent-member": torrent_member,
    "blake3-one": lambda path: blake3(path, 1),
    "blake3-all": lambda path: blake3(path, None),
    "sha256": sha256,
    "sha256-all": sha256_all,
}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
