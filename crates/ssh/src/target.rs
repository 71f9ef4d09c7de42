//! `[user@]host` as a user types it, parsed once into a type that can neither
//! be taken for an option by a program it is handed to nor carry control
//! characters into a log or a protocol.

use std::fmt;
use std::str::FromStr;

/// Whom to reach: a host, and the login and port where they were given.
///
/// Invariants: host and user are not empty, do not start with `-`, and hold
/// neither control characters nor white space; the host has no brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

/// Why a text is no [`Target`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// There is no host.
    #[error("the host is missing; give [user@]host, an IPv6 address in brackets")]
    NoHost,
    /// There is an `@` with nothing before it.
    #[error("the user before `@` is missing")]
    NoUser,
    /// A part that another program could take for an option.
    #[error("{0:?} starts with `-`, which no host or user may")]
    LooksLikeOption(String),
    /// A character that has no place in a name.
    #[error("{0:?} holds white space, a control character or one of {FORBIDDEN:?}")]
    ForbiddenCharacter(String),
    /// A bracket without its other half, or something after it.
    #[error("{0:?} is not an address in brackets, like [2001:db8::1]")]
    Brackets(String),
}

/// Characters that would break the line formats and shells a host name or
/// user passes through (`ssh -G` output, `known_hosts`, `ProxyCommand`).
const FORBIDDEN: &str = "'\"`$\\;&<>|(){},*?!#/";

impl Target {
    /// The login name, if one was given.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Host name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port, if one was given.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The same host and user at `port`.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The same host and port for `user`.
    ///
    /// # Errors
    /// If `user` breaks the type's invariants.
    pub fn with_user(mut self, user: &str) -> Result<Self, InvalidTarget> {
        check_user(user)?;
        self.user = Some(user.to_owned());
        Ok(self)
    }
}

fn check_user(user: &str) -> Result<(), InvalidTarget> {
    if user.is_empty() {
        return Err(InvalidTarget::NoUser);
    }
    // A backslash is in `DOMAIN\user`, so it is judged apart.
    check_part(user, |c| FORBIDDEN.contains(c) && c != '\\')
}

fn check_part(part: &str, forbidden: impl Fn(char) -> bool) -> Result<(), InvalidTarget> {
    if part.starts_with('-') {
        return Err(InvalidTarget::LooksLikeOption(part.to_owned()));
    }
    if part.chars().any(|c| c.is_control() || c.is_whitespace() || forbidden(c)) {
        return Err(InvalidTarget::ForbiddenCharacter(part.to_owned()));
    }
    Ok(())
}

fn parse_host(text: &str) -> Result<String, InvalidTarget> {
    let host = if let Some(rest) = text.strip_prefix('[') {
        let inner = rest.strip_suffix(']');
        inner.ok_or_else(|| InvalidTarget::Brackets(text.to_owned()))?
    } else {
        text
    };
    if host.is_empty() {
        return Err(InvalidTarget::NoHost);
    }
    if host.contains(['[', ']', '@']) {
        return Err(InvalidTarget::Brackets(text.to_owned()));
    }
    check_part(host, |c| FORBIDDEN.contains(c))?;
    Ok(host.to_owned())
}

impl FromStr for Target {
    type Err = InvalidTarget;

    /// Parses `[user@]host`. The last `@` separates: user names may hold one.
    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let (user, host) = match text.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, text),
        };
        user.map_or(Ok(()), check_user)?;
        Ok(Self { user: user.map(str::to_owned), host: parse_host(host)?, port: None })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match (self.host.contains(':'), self.port) {
            (false, None) => write!(f, "{}", self.host),
            (false, Some(port)) => write!(f, "{}:{port}", self.host),
            (true, None) => write!(f, "[{}]", self.host),
            (true, Some(port)) => write!(f, "[{}]:{port}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn user_host_and_brackets() {
        let parsed: Target = "a@b@example.org".parse().unwrap();
        assert_eq!((parsed.user(), parsed.host()), (Some("a@b"), "example.org"));
        let parsed: Target = "u@[2001:db8::1]".parse().unwrap();
        assert_eq!(parsed.host(), "2001:db8::1");
        assert_eq!(parsed.with_port(22).to_string(), "u@[2001:db8::1]:22");
        assert_eq!("fe80::1%eth0".parse::<Target>().unwrap().host(), "fe80::1%eth0");
    }

    #[test]
    fn option_injection_is_refused() {
        for bad in [
            "-oProxyCommand=x",
            "-l@host",
            "u@-v",
            "[-x]",
            "",
            "@h",
            "u@",
            "[::1",
            "::1]",
            "a b",
            "h\n",
            "h\0",
            "u\t@h",
            "$(x)",
            "h;x",
            "h`x`",
            "u@h|x",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_holds_the_invariants(text in "\\PC{0,30}|[-@a-z.:\\[\\]\n ]{0,12}") {
            if let Ok(target) = text.parse::<Target>() {
                for part in [Some(target.host()), target.user()].into_iter().flatten() {
                    prop_assert!(!part.is_empty() && !part.starts_with('-'));
                    prop_assert!(!part.chars().any(|c| c.is_control() || c.is_whitespace()));
                }
                prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target));
            }
        }
    }
}
