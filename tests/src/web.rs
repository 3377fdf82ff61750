//! A web server on loopback that holds a folder, and may be as bad as a test wants it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result};

/// What the server does with a request for a range of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Sends it.
    Honest,
    /// Sends a wrong byte in every answer.
    Flip,
    /// Sends half of it and hangs up.
    Truncate,
    /// Says that it is busy, without end.
    Busy,
    /// Sends a page for people.
    Page,
    /// Says nothing.
    Silent,
}

/// A running server; it takes no more connections once the value is dropped.
#[derive(Debug)]
pub struct WebServer {
    address: SocketAddr,
    sent: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl WebServer {
    /// Serves the files below `folder`.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(folder: &Path, manner: Manner) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (sent, ended) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let server = Self {
            address,
            sent: Arc::clone(&sent),
            ended: Arc::clone(&ended),
        };
        let folder = folder.to_owned();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (folder, sent) = (folder.clone(), Arc::clone(&sent));
                thread::spawn(move || {
                    // The other side may hang up whenever it likes.
                    let _ = talk(&stream, &folder, manner, &sent);
                });
            }
        });
        Ok(server)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes of files that it has sent, right or wrong.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
    }
}

fn talk(mut stream: &TcpStream, folder: &Path, manner: Manner, sent: &AtomicU64) -> Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(first) = lines.next() {
        let first = first?;
        let path = first.split(' ').nth(1).context("a path")?.to_owned();
        let mut range = None;
        for line in lines.by_ref() {
            let line = line?.to_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(bytes) = line.strip_prefix("range: bytes=") {
                let (start, last) = bytes.split_once('-').context("a range")?;
                range = Some((start.parse::<usize>()?, last.parse::<usize>()? + 1));
            }
        }
        let file: PathBuf = folder.join(path.trim_start_matches('/'));
        let content = fs::read(&file).with_context(|| file.display().to_string())?;
        let (start, end) = range.context("a range is asked for")?;
        let mut bytes = content.get(start..end).context("a range of it")?.to_vec();
        let mut head = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{}\r\nContent-Length: {}\r\n\r\n",
            end - 1,
            content.len(),
            bytes.len()
        );
        match manner {
            Manner::Honest => {}
            Manner::Flip => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            Manner::Truncate => bytes.truncate(bytes.len() / 2),
            Manner::Busy => {
                head = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\n\
                        Content-Length: 0\r\n\r\n"
                    .to_owned();
                bytes.clear();
            }
            Manner::Page => {
                bytes = b"<html>Please sign in</html>".to_vec();
                head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
            }
            Manner::Silent => continue,
        }
        stream.write_all(head.as_bytes())?;
        stream.write_all(&bytes)?;
        sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if manner == Manner::Truncate {
            return Ok(());
        }
    }
    Ok(())
}
