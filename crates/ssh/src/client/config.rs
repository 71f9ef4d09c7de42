//! The OpenSSH client configuration in force for one host.
//!
//! Where `ssh` is installed it is asked (`ssh -G`), so that every rule of its
//! language holds, `Match` and `Include` among them. Where it is not, a small
//! part of the language is read here, and anything that could change the
//! outcome without being understood is an error.

use crate::{SshError, Target};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// How long `ssh -G` may take: it reads files, and runs what `Match exec` says.
const ASK_TIME: Duration = Duration::from_secs(10);

/// Settings in force for one host: keyword, in lower case, to values in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct EffectiveConfig {
    values: HashMap<String, Vec<String>>,
    home: Option<PathBuf>,
}

impl EffectiveConfig {
    /// Asks `program` for the configuration in force for `target`. `None` if
    /// there is no such program.
    pub(crate) async fn ask(program: &Path, file: Option<&Path>, target: &Target) -> Result<Option<Self>, SshError> {
        let mut command = tokio::process::Command::new(program);
        command.arg("-G").args(["-o", "RequestTTY=no"]);
        if let Some(file) = file {
            command.arg("-F").arg(file);
        }
        if let Some(user) = target.user() {
            command.arg("-l").arg(user);
        }
        command.arg("--").arg(target.host());
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = match tokio::time::timeout(ASK_TIME, command.output()).await {
            Err(_) => return Err(SshError::Configuration("`ssh -G` does not answer".into())),
            Ok(Err(error)) if is_absent(&error) => return Ok(None),
            Ok(Err(source)) => {
                return Err(SshError::NoProgram { program: program.to_owned(), source });
            }
            Ok(Ok(output)) => output,
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(SshError::Configuration(said));
        }
        Ok(Some(Self::parse_answer(&String::from_utf8_lossy(&output.stdout))))
    }

    /// The settings in the output of `ssh -G`.
    pub(crate) fn parse_answer(text: &str) -> Self {
        let mut config = Self { home: std::env::home_dir(), ..Self::default() };
        for (keyword, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            config.push(keyword, value.trim());
        }
        config
    }

    /// Reads `file`, the user's configuration, without the help of `ssh`.
    pub(crate) fn read_plain(file: &Path, target: &Target) -> Result<Self, SshError> {
        match std::fs::read_to_string(file) {
            Ok(text) => Self::parse_plain(&text, target)
                .map_err(|reason| SshError::Configuration(format!("{}: {reason}", file.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Self::parse_plain("", target).map_err(SshError::Configuration)
            }
            Err(error) => Err(SshError::Configuration(format!("{}: {error}", file.display()))),
        }
    }

    /// The settings that `text` has for `target`: Host, HostName, Port, User
    /// and IdentityFile.
    pub(crate) fn parse_plain(text: &str, target: &Target) -> Result<Self, String> {
        let mut config = Self { home: std::env::home_dir(), ..Self::default() };
        let mut applies = true;
        for (number, line) in text.lines().enumerate() {
            let Some((keyword, value)) = split_keyword(line) else {
                continue;
            };
            match keyword.as_str() {
                "host" => applies = host_line_matches(value, target.host()),
                "hostname" | "port" | "user" if applies => config.push_first(&keyword, value),
                "identityfile" if applies => config.push(&keyword, value),
                "hostname" | "port" | "user" | "identityfile" => {}
                other if !applies && other != "match" && other != "include" => {}
                other if HARMLESS.contains(&other) => {}
                other => {
                    return Err(format!(
                        "line {}: `{other}` is understood by the OpenSSH client alone, which \
                         is not installed; install it, or give another file",
                        number + 1
                    ));
                }
            }
        }
        config.push_first("hostname", target.host());
        Ok(config)
    }

    fn push(&mut self, keyword: &str, value: &str) {
        let values = self.values.entry(keyword.to_lowercase()).or_default();
        values.push(value.to_owned());
    }

    /// Of most settings the first value holds.
    fn push_first(&mut self, keyword: &str, value: &str) {
        if !self.values.contains_key(keyword) {
            self.push(keyword, value);
        }
    }

    /// The value of `keyword`, unless unset or `none`.
    pub(crate) fn get(&self, keyword: &str) -> Option<&str> {
        let value = self.values.get(keyword)?.first()?.as_str();
        (!value.is_empty() && !value.eq_ignore_ascii_case("none")).then_some(value)
    }

    /// Whether `keyword` is set, be it to `none`.
    pub(crate) fn is_set(&self, keyword: &str) -> bool {
        self.values.contains_key(keyword)
    }

    /// Whether `keyword` is set to yes.
    pub(crate) fn is_yes(&self, keyword: &str) -> bool {
        matches!(self.get(keyword), Some("yes" | "true"))
    }

    /// Whether `keyword` is set to no.
    pub(crate) fn is_no(&self, keyword: &str) -> bool {
        matches!(self.get(keyword), Some("no" | "false"))
    }

    /// The paths of `keyword`: one or several lines with one or several paths,
    /// `~` expanded.
    pub(crate) fn paths(&self, keyword: &str) -> Vec<PathBuf> {
        let lines = self.values.get(keyword).map(Vec::as_slice).unwrap_or_default();
        lines
            .iter()
            .flat_map(|line| line.split_whitespace())
            .filter(|path| !path.eq_ignore_ascii_case("none"))
            .map(|path| self.expand(path))
            .collect()
    }

    /// The paths of `keyword`, one a line, spaces kept.
    pub(crate) fn path_lines(&self, keyword: &str) -> Vec<PathBuf> {
        let lines = self.values.get(keyword).map(Vec::as_slice).unwrap_or_default();
        let given = lines.iter().filter(|path| !path.eq_ignore_ascii_case("none"));
        given.map(|path| self.expand(path.trim_matches('"'))).collect()
    }

    pub(crate) fn expand(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(path),
        }
    }
}

/// Settings that change nothing for a connection of the built-in client.
const HARMLESS: &[&str] = &[
    "addkeystoagent",
    "compression",
    "forwardagent",
    "forwardx11",
    "hashknownhosts",
    "identitiesonly",
    "loglevel",
    "sendenv",
    "serveralivecountmax",
    "serveraliveinterval",
    "tcpkeepalive",
    "visualhostkey",
];

/// A program that may not be run is as good as none.
fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied)
}

fn split_keyword(line: &str) -> Option<(String, &str)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let value = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '=');
    Some((keyword.to_lowercase(), value.trim_matches('"')))
}

fn host_line_matches(patterns: &str, host: &str) -> bool {
    let list = patterns.split_whitespace().collect::<Vec<_>>().join(",");
    crate::known_hosts::host_list_matches(&list, host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Result<EffectiveConfig, String> {
        EffectiveConfig::parse_plain(text, &"prod".parse().unwrap())
    }

    #[tokio::test]
    async fn a_program_that_may_not_be_run_is_as_good_as_none() {
        let target = "prod".parse().unwrap();
        for program in ["/etc/passwd", "/nowhere/ssh"] {
            assert!(EffectiveConfig::ask(Path::new(program), None, &target).await.unwrap().is_none(), "{program}");
        }
    }

    #[test]
    fn first_value_of_a_matching_host_holds() {
        let config = plain(
            "# mine\nHost !prod *\n User wrong\nHost pro? other\n HostName prod.example.org\n \
             User=alice\n IdentityFile ~/.ssh/a\nHost *\n User bob\n Port 2222\n IdentityFile /b\n",
        )
        .unwrap();
        assert_eq!(config.get("hostname"), Some("prod.example.org"));
        assert_eq!((config.get("user"), config.get("port")), (Some("alice"), Some("2222")));
        assert_eq!(config.path_lines("identityfile").len(), 2);
        assert_eq!(plain("").unwrap().get("hostname"), Some("prod"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(plain("Match host prod\n User x").unwrap_err().contains("`match`"));
        assert!(plain("Include more").unwrap_err().contains("line 1"));
        assert!(plain("Host *\nProxyJump gate").unwrap_err().contains("proxyjump"));
        // Of another host, it does not matter.
        assert!(plain("Host other\nProxyJump gate").is_ok());
        // A Match block may follow any Host block, so it always matters.
        assert!(plain("Host other\nMatch all").is_err());
    }

    #[test]
    fn an_answer_is_read() {
        let config = EffectiveConfig::parse_answer(
            "user u\nport 22\nproxycommand none\nuserknownhostsfile /a /b\nidentityfile ~/x y\nidentityfile /k\npubkeyauthentication true\n",
        );
        assert_eq!(config.get("proxycommand"), None);
        assert_eq!(config.paths("userknownhostsfile"), [Path::new("/a"), Path::new("/b")]);
        assert_eq!(config.path_lines("identityfile").len(), 2);
        assert!(config.is_yes("pubkeyauthentication"));
    }
}
