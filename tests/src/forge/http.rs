//! HTTP by hand, so that an answer can go wrong in every way there is.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::faults::{Cut, Fault};

const MOST: usize = 4 << 20;
const MEBIBYTE: usize = 1 << 20;

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path as it stood in the request.
    pub target: String,
    /// The parts of the path, decoded.
    pub parts: Vec<String>,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A part of the query.
    #[must_use]
    pub fn asked(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers besides the length.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer in JSON.
    #[must_use]
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self {
            status,
            headers: vec![(
                "content-type".into(),
                "application/json; charset=utf-8".into(),
            )],
            body: body.to_string().into_bytes(),
        }
    }

    /// The same with another header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

pub(crate) async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 && bytes.len() < MOST => bytes.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse::<usize>().ok())
        .unwrap_or(0)
        .min(MOST);
    let mut body = bytes.split_off(head_end);
    while body.len() < length {
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => body.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Request {
        parts: path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| decoded(part, false))
            .collect(),
        query: query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .map(|(name, value)| (decoded(name, true), decoded(value, true)))
            .collect(),
        method,
        target,
        headers,
        body,
    })
}

fn decoded(text: &str, form: bool) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = text.get(at + 1..at + 3);
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, value) {
            (b'%', Some(value)) => {
                plain.push(value);
                at += 3;
            }
            (b'+', _) if form => {
                plain.push(b' ');
                at += 1;
            }
            (other, _) => {
                plain.push(other);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Sends an answer, or what a fault makes of it. `stalled` ends when the fake lets go.
pub(crate) async fn write(
    stream: &mut TcpStream,
    answer: &Answer,
    fault: Option<&Fault>,
    stalled: impl Future<Output = ()>,
) {
    let head = head(answer, Some(answer.body.len()));
    let half = answer.body.len() / 2;
    let sent = match fault.and_then(|fault| fault.cut.as_ref()) {
        None => send(stream, &[head.as_bytes(), &answer.body]).await,
        Some(Cut::Reset) => {
            // Closing with unsent data and no lingering is a reset.
            stream.set_zero_linger().ok();
            return;
        }
        Some(Cut::Close) => Ok(()),
        Some(Cut::HalfHead) => send(stream, &[&head.as_bytes()[..head.len() / 2]]).await,
        Some(Cut::HalfBody) => send(stream, &[head.as_bytes(), &answer.body[..half]]).await,
        Some(Cut::StallBeforeHead) => {
            stalled.await;
            send(stream, &[head.as_bytes(), &answer.body]).await
        }
        Some(Cut::StallAfterHead) => {
            let begun = send(stream, &[head.as_bytes()]).await;
            stalled.await;
            begun.and(send(stream, &[&answer.body]).await)
        }
        Some(Cut::StallInBody) => {
            let begun = send(stream, &[head.as_bytes(), &answer.body[..half]]).await;
            stalled.await;
            begun.and(send(stream, &[&answer.body[half..]]).await)
        }
        Some(Cut::Drip(pause)) => drip(stream, &head, &answer.body, *pause).await,
        Some(Cut::Huge { declared }) => huge(stream, answer, *declared).await,
    };
    if sent.is_ok() {
        stream.shutdown().await.ok();
    }
}

fn head(answer: &Answer, length: Option<usize>) -> String {
    let mut head = format!("HTTP/1.1 {} Reason\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(length) = length
        && answer.status != 304
        && answer.status != 204
    {
        head.push_str(&format!("content-length: {length}\r\n"));
    }
    head.push_str("connection: close\r\n\r\n");
    head
}

async fn send(stream: &mut TcpStream, parts: &[&[u8]]) -> std::io::Result<()> {
    for part in parts {
        stream.write_all(part).await?;
    }
    stream.flush().await
}

async fn drip(
    stream: &mut TcpStream,
    head: &str,
    body: &[u8],
    pause: Duration,
) -> std::io::Result<()> {
    send(stream, &[head.as_bytes()]).await?;
    for byte in body {
        send(stream, &[&[*byte]]).await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

async fn huge(stream: &mut TcpStream, answer: &Answer, declared: bool) -> std::io::Result<()> {
    let length = declared.then_some(100 * MEBIBYTE);
    send(stream, &[head(answer, length).as_bytes()]).await?;
    let blank = vec![b' '; MEBIBYTE];
    for _ in 0..100 {
        stream.write_all(&blank).await?;
    }
    Ok(())
}
