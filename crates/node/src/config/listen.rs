//! Where to listen: a port, or an address and a port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `33001` for every address of this machine, or `192.0.2.1:33001`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// One address of this machine; all of them, of both families, if none.
    pub address: Option<IpAddr>,
    /// The port; 0 takes a free one.
    pub port: u16,
}

/// Why text names no place to listen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a port nor ADDRESS:PORT")]
pub struct InvalidListen(String);

impl Listen {
    /// This port at every address.
    #[must_use]
    pub const fn everywhere(port: u16) -> Self {
        Self { address: None, port }
    }

    /// What to bind, in order, until one succeeds: a machine without IPv6 has
    /// only IPv4 to listen at.
    #[must_use]
    pub fn candidates(self) -> Vec<SocketAddr> {
        match self.address {
            Some(address) => vec![SocketAddr::new(address, self.port)],
            None => [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()]
                .map(|any: IpAddr| SocketAddr::new(any, self.port))
                .to_vec(),
        }
    }
}

impl FromStr for Listen {
    type Err = InvalidListen;

    fn from_str(text: &str) -> Result<Self, InvalidListen> {
        if let Ok(port) = text.parse() {
            return Ok(Self::everywhere(port));
        }
        let address: SocketAddr = text.parse().map_err(|_| InvalidListen(text.to_owned()))?;
        let any = address.ip().is_unspecified() && address.is_ipv6();
        Ok(Self { address: (!any).then_some(address.ip()), port: address.port() })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => SocketAddr::new(address, self.port).fmt(f),
            None => self.port.fmt(f),
        }
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.address {
            Some(_) => serializer.collect_str(self),
            None => serializer.serialize_u16(self.port),
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a port such as 33001, or \"ADDRESS:PORT\"")]
        enum Written {
            Port(u16),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Port(port) => Ok(Self::everywhere(port)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_return_as_they_were_written() {
        for text in ["33001", "192.0.2.1:22", "[2001:db8::1]:33001", "0.0.0.0:5"] {
            assert_eq!(text.parse::<Listen>().map(|listen| listen.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("[::]:7".parse(), Ok(Listen::everywhere(7)));
        for text in ["", "host:22", "70000", ":22", "192.0.2.1"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_address_means_both_families() {
        let candidates = Listen::everywhere(9).candidates();
        assert!(candidates[0].is_ipv6() && candidates[1].is_ipv4());
    }
}
