//! The address to listen on, as existing installations write it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use tokio::net::TcpListener;

/// `host:port`; without a host, every interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Everywhere,
    Address(IpAddr),
    Name(String),
}

/// The text is not an address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an address and a port, like 127.0.0.1:8000, [::1]:8000 or :8000 for every interface"
)]
pub struct BadListen;

impl Listen {
    /// Whether only this machine can reach the address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Everywhere => false,
            Host::Address(address) => address.to_canonical().is_loopback(),
            Host::Name(name) => name.eq_ignore_ascii_case("localhost"),
        }
    }

    /// Starts to listen.
    ///
    /// # Errors
    /// The one of the operating system.
    pub async fn bind(&self) -> io::Result<TcpListener> {
        match &self.host {
            Host::Address(address) => TcpListener::bind((*address, self.port)).await,
            Host::Name(name) => TcpListener::bind((name.as_str(), self.port)).await,
            Host::Everywhere => {
                // One socket takes both families, except where IPv6 is switched off.
                match TcpListener::bind((Ipv6Addr::UNSPECIFIED, self.port)).await {
                    Ok(listener) => Ok(listener),
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
                    Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, self.port)).await,
                }
            }
        }
    }

    /// A URL for a person at this machine.
    #[must_use]
    pub fn display_url(&self) -> String {
        let host = match &self.host {
            Host::Everywhere => "localhost".to_owned(),
            Host::Address(address) if address.is_unspecified() => "localhost".to_owned(),
            Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
            Host::Address(IpAddr::V4(address)) => address.to_string(),
            Host::Name(name) => name.clone(),
        };
        format!("http://{host}:{}/", self.port)
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            host: Host::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port: 8000,
        }
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: Host::Address(address.ip()),
            port: address.port(),
        }
    }
}

impl FromStr for Listen {
    type Err = BadListen;
    fn from_str(text: &str) -> Result<Self, BadListen> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let (host, port) = text.rsplit_once(':').ok_or(BadListen)?;
        let port = port.parse().map_err(|_| BadListen)?;
        let is_name = |name: &str| {
            name.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
        };
        let host = match host {
            "" | "*" => Host::Everywhere,
            // Digits and dots that are no address are a mistake, not a name.
            name if is_name(name) && name.bytes().any(|b| b.is_ascii_alphabetic()) => {
                Host::Name(name.to_owned())
            }
            _ => return Err(BadListen),
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Everywhere => write!(f, ":{}", self.port),
            Host::Address(address) => write!(f, "{}", SocketAddr::new(*address, self.port)),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_in_use_is_understood() {
        for (text, loopback, url) in [
            (":8000", false, "http://localhost:8000/"),
            ("*:8000", false, "http://localhost:8000/"),
            ("0.0.0.0:80", false, "http://localhost:80/"),
            ("[::]:80", false, "http://localhost:80/"),
            ("127.0.0.1:8000", true, "http://127.0.0.1:8000/"),
            ("127.1.2.3:1", true, "http://127.1.2.3:1/"),
            ("[::1]:8000", true, "http://[::1]:8000/"),
            ("localhost:8000", true, "http://localhost:8000/"),
            ("192.0.2.1:8000", false, "http://192.0.2.1:8000/"),
        ] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!(
                (listen.is_loopback(), listen.display_url()),
                (loopback, url.to_owned()),
                "{text}"
            );
        }
        assert!(Listen::default().is_loopback());
        for bad in [
            "",
            "8000",
            "localhost",
            ":",
            ":x",
            ":70000",
            "::1:8000",
            "a b:1",
            "1.2.3:80",
            "http://x:80",
        ] {
            assert_eq!(bad.parse::<Listen>(), Err(BadListen), "{bad}");
        }
    }

    #[tokio::test]
    async fn every_interface_includes_this_machine_over_ipv4() {
        let listen: Listen = ":0".parse().unwrap();
        let listener = listen.bind().await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (client, accepted) = tokio::join!(
            tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)),
            listener.accept()
        );
        assert!(client.is_ok() && accepted.is_ok());
    }
}
