//! Runs every command of `docs/SECURITY-GUIDE.md` as it is written there: each
//! section with a server, a user and files of its own.
#![allow(clippy::unwrap_used, clippy::panic)] // a test's surroundings fail it

mod support;

use std::fs;
use std::path::Path;

use support::client::{Client, Finished};
use support::openssh::Agent;
use support::remote::{Kind, Remote};
use support::{Lab, find, skip};

/// Stands in the guide where the reader does it by other means.
const RESTART: &str = "# restart the server";

/// The section whose server is OpenSSH.
const BEHIND_OPENSSH: &str = "FIPS mode of the client";

/// One command of the guide, and what it says of it.
struct Step {
    line: String,
    prints: Vec<String>,
    fails: Option<u16>,
}

/// A section of the guide with its commands.
struct Section {
    title: String,
    steps: Vec<Step>,
}

fn guide() -> Vec<Section> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/SECURITY-GUIDE.md");
    let text = fs::read_to_string(path).unwrap();
    let (mut sections, mut runs) = (Vec::<Section>::new(), false);
    for line in text.lines() {
        match (line, sections.last_mut()) {
            (title, _) if title.starts_with("## ") => {
                sections.push(Section { title: title[3..].to_owned(), steps: Vec::new() });
            }
            ("```sh", _) => runs = true,
            ("```", _) => runs = false,
            (line, Some(section)) if runs => section.take(line),
            (line, None) if runs => panic!("`{line}` is in no section"),
            _ => {}
        }
    }
    sections
}

impl Section {
    fn take(&mut self, line: &str) {
        match (line.strip_prefix("# prints "), line.strip_prefix("# fails "), self.steps.last_mut()) {
            (Some(text), _, Some(step)) => step.prints.push(text.to_owned()),
            (_, Some(code), Some(step)) => step.fails = Some(code.parse().unwrap()),
            _ => self.steps.push(Step { line: line.to_owned(), prints: Vec::new(), fails: None }),
        }
    }

    /// Runs it where `film.mov`, `photos` and a key of the user's are.
    fn run(&self) {
        let (lab, kind) = match self.title == BEHIND_OPENSSH {
            true => (Lab::with_approved_keys(), Kind::Administered),
            false => (Lab::new(), Kind::Embedded),
        };
        let Some(mut server) = Remote::start(kind, &lab) else { return };
        let Some(agent) = Agent::holding(&lab, &lab.key("id")) else { return };
        fs::write(lab.here().join("film.mov"), vec![7; 3_000_000]).unwrap();
        fs::create_dir_all(lab.here().join("photos/summer")).unwrap();
        for (name, length) in [("one.jpg", 200_000), ("summer/two.jpg", 2_000_000), ("summer/none.jpg", 0)] {
            fs::write(lab.here().join("photos").join(name), vec![9; length]).unwrap();
        }
        let (port, host) = (server.port().to_string(), format!("{}@127.0.0.1", server.user()));
        let mut environment = vec![
            ("LIMOSA_PORT".to_owned(), port),
            ("LIMOSA_KNOWN_HOSTS".to_owned(), lab.path("known_hosts").display().to_string()),
            ("SSH_AUTH_SOCK".to_owned(), agent.socket.display().to_string()),
        ];
        let surrounded = |client: Client, environment: &[(String, String)]| {
            environment.iter().fold(client, |client, (name, value)| client.env(name, value))
        };
        surrounded(Client::bare(&lab).args(["doctor", "--accept-new", &host]), &environment).succeed();
        for step in &self.steps {
            if let Some((name, value)) = step.exported() {
                environment.push((name.to_owned(), value.to_owned()));
                continue;
            }
            if step.line == RESTART {
                server.crash();
                server.recover(&lab);
                continue;
            }
            let line = step.line.replace("ada@host", &host).replace("/srv/files", &lab.there().display().to_string());
            step.compare(&self.title, &surrounded(Client::shell(&lab, &["sh", "-c"], &line), &environment).run());
        }
    }
}

impl Step {
    /// What it sets for those that follow.
    fn exported(&self) -> Option<(&str, &str)> {
        let (name, value) = self.line.strip_prefix("export ")?.split_once('=')?;
        Some((name, value.trim_matches('\'')))
    }

    fn compare(&self, section: &str, finished: &Finished) {
        let about = format!("{section}: {}", self.line);
        let said = format!("{}\n{}", finished.lines.join("\n"), finished.errors);
        match self.fails {
            None => assert_eq!(finished.exit(), Some(0), "{about}\n{finished}"),
            Some(code) => {
                assert!(finished.exit() != Some(0), "{about}\n{finished}");
                let told = [format!("[{code}]"), format!("(code {code})")];
                assert!(told.iter().any(|told| said.contains(told)), "{about}\n{finished}");
            }
        }
        for text in &self.prints {
            assert!(said.contains(text), "{about}\ndoes not print `{text}`\n{said}");
        }
    }
}

#[test]
fn every_command_of_the_guide_does_what_it_says() {
    if find("ssh").is_none() {
        return skip("ssh");
    }
    let sections = guide();
    assert!(sections.iter().filter(|section| !section.steps.is_empty()).count() >= 2);
    for section in &sections {
        section.run();
    }
}
