//! An HTTP server that says what a test tells it to.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// One request.
pub(super) struct Asked {
    /// As it stands in the first line.
    pub(super) path: String,
    /// First byte and one past the last.
    pub(super) range: Option<(usize, usize)>,
    /// All header lines, names in lower case.
    pub(super) head: String,
    /// How many came before it.
    pub(super) number: usize,
}

/// What is sent back.
pub(super) struct Reply {
    head: String,
    body: Vec<u8>,
    /// Bytes of the body after which the connection is closed.
    len: usize,
    hangs: bool,
}

impl Reply {
    pub(super) fn status(status: &str) -> Self {
        Self {
            head: format!("HTTP/1.1 {status}\r\n"),
            body: Vec::new(),
            len: 0,
            hangs: false,
        }
    }

    /// Nothing at all.
    pub(super) fn hang() -> Self {
        let mut reply = Self::status("");
        reply.hangs = true;
        reply
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    pub(super) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.len = body.len();
        self
    }

    /// Sends a wrong byte.
    pub(super) fn flip(&mut self, at: usize) {
        self.body[at] ^= 1;
    }

    /// Breaks off.
    pub(super) fn cut(&mut self, at: usize) {
        self.len = at;
    }
}

/// A running server; it ends with the value.
pub(super) struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
    asked: watch::Receiver<usize>,
    gone: watch::Receiver<usize>,
}

type Replier = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;

impl Server {
    pub(super) async fn start(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked_sender, asked) = watch::channel(0);
        let (gone_sender, gone) = watch::channel(0);
        let reply: Replier = Arc::new(reply);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let reply = Arc::clone(&reply);
                let (asked, gone) = (asked_sender.clone(), gone_sender.clone());
                tokio::spawn(async move {
                    talk(stream, &reply, &asked).await;
                    gone.send_modify(|count| *count += 1);
                });
            }
        });
        Self {
            address,
            task,
            asked,
            gone,
        }
    }

    pub(super) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns once somebody has asked.
    pub(super) async fn wait_asked(&self) {
        let mut asked = self.asked.clone();
        asked.wait_for(|count| *count > 0).await.unwrap();
    }

    /// Returns once somebody has hung up.
    pub(super) async fn wait_gone(&self) {
        let mut gone = self.gone.clone();
        gone.wait_for(|count| *count > 0).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers until the other side hangs up or a reply breaks off.
async fn talk(mut stream: TcpStream, reply: &Replier, asked: &watch::Sender<usize>) {
    let mut head = Vec::new();
    loop {
        let Ok(byte) = stream.read_u8().await else {
            return;
        };
        head.push(byte);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let mut number = 0;
        asked.send_modify(|count| {
            number = *count;
            *count += 1;
        });
        let request = parse(&std::mem::take(&mut head), number);
        let reply = reply(&request);
        if reply.hangs {
            continue;
        }
        let length = format!("Content-Length: {}\r\n\r\n", reply.body.len());
        let head = reply.head + &length;
        let sent = async {
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&reply.body[..reply.len]).await
        };
        if sent.await.is_err() || reply.len < reply.body.len() {
            return;
        }
    }
}

fn parse(head: &[u8], number: usize) -> Asked {
    let head = String::from_utf8(head.to_vec()).unwrap();
    let (first, rest) = head.split_once("\r\n").unwrap();
    let path = first.split(' ').nth(1).unwrap().to_owned();
    let lower = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        format!("{}: {value}\n", name.to_lowercase())
    };
    let head: String = rest.lines().map(lower).collect();
    let range = head.lines().find_map(|line| {
        let (start, last) = line.strip_prefix("range: bytes=")?.split_once('-')?;
        Some((start.parse().ok()?, last.parse::<usize>().ok()? + 1))
    });
    Asked {
        path,
        range,
        head,
        number,
    }
}
