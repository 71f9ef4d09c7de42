//! The numbered codes by which every failure is known: on the wire, in logs,
//! in `--json` and to whoever looks one up.
//!
//! Numbers never change their meaning and are never reused. One table holds
//! number, name, whose fault it is, exit status, whether trying again may
//! help, what happened and what to do.

use std::fmt;

/// Whose fault a failure is, which is also its range of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nobody's: success, or a person's wish.
    None,
    /// The command as given (1xx).
    Usage,
    /// The network between the ends (2xx).
    Network,
    /// Proof of who somebody is (3xx).
    Authentication,
    /// What the server's administrator allows (4xx).
    Policy,
    /// Files and disks (5xx).
    Storage,
    /// Content that is not what it should be (6xx).
    Integrity,
    /// The other end, or a version that does not fit (7xx).
    Peer,
    /// This software (9xx).
    Internal,
}

/// What the table knows of a code.
#[derive(Clone, Copy, Debug)]
struct Info {
    number: u16,
    name: &'static str,
    exit: u8,
    retry: bool,
    summary: &'static str,
    advice: &'static str,
}

/// A numbered code. Codes of other versions keep their number and are shown as
/// unknown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(u16);

macro_rules! codes {
    ($($constant:ident = $number:literal, $exit:literal, $retry:literal, $summary:literal, $advice:literal;)+) => {
        impl Code {
            $(
                #[doc = concat!("`", stringify!($number), "`: ", $summary, ".")]
                pub const $constant: Self = Self($number);
            )+

            /// Every code this version knows, by number.
            pub const ALL: &'static [Self] = &[$(Self($number)),+];
        }

        const TABLE: &[Info] = &[$(Info {
            number: $number,
            name: stringify!($constant),
            exit: $exit,
            retry: $retry,
            summary: $summary,
            advice: $advice,
        }),+];
    };
}

codes! {
    OK = 0, 0, false, "done", "";
    CANCELLED = 1, 130, true, "stopped by the user", "run the same command again to continue";
    SOME_FAILED = 2, 6, false, "some files could not be transferred", "see the lines above; run the same command again for the rest";
    TAKEN_OVER = 4, 5, true, "a newer session took over this transfer", "let that one finish";

    USAGE = 100, 2, false, "the command is not understood", "see --help";
    BAD_TARGET = 101, 2, false, "not a valid host or path", "write [user@]host:path; put ./ before local names that hold a colon";
    BAD_CONFIGURATION = 102, 2, false, "the configuration is not valid", "run `limosad check`";
    FIXED_NEEDS_RATE = 103, 2, false, "policy `fixed` needs a rate", "give --rate, or use --policy fair";
    FILE_KEY_NEEDED = 104, 2, false, "no passphrase or key is given for encrypted files", "set LIMOSA_FILEPASS, or use --passphrase-file, --identity, --recipient or --master-key";
    MODULE_NOT_VALIDATED = 106, 7, false, "only the validated cryptographic module may be used, and this program has another", "use the programs of the FIPS build, or `on` in the place of `required`";

    RESOLVE_FAILED = 200, 5, true, "the host name has no address", "check the name and the resolver";
    CONNECT_REFUSED = 201, 5, true, "the host refuses connections on this TCP port", "check the port, and that the server runs";
    CONNECT_TIMEOUT = 202, 5, true, "no answer on this TCP port", "check the port and the firewalls on the way";
    SSH_FAILED = 203, 5, true, "the SSH connection failed", "try `ssh -v` to the same host and port";
    SSH_LOST = 204, 5, true, "the SSH connection broke", "check the line; the transfer itself survives this while UDP passes";
    UDP_BLOCKED_OUT = 210, 5, true, "no datagram reached the server", "open the UDP port towards the server, in firewalls and in its security group";
    UDP_BLOCKED_BACK = 211, 5, true, "datagrams reach the server, but none comes back", "allow the server's answers from its UDP port to this machine";
    UDP_BLOCKED = 212, 5, true, "no datagram passes between the ends", "open the UDP port; `limosa doctor` tells which way is shut";
    UDP_BIND = 213, 7, false, "the UDP port cannot be opened here", "choose another with --udp-port, or end what uses it";
    PEER_SILENT = 220, 5, true, "nothing was heard from the other end for the session's timeout", "check the line and whether the other end still runs; run the same command again to continue";
    LINE_DEAD = 221, 5, true, "both SSH and UDP went silent", "the line is down; run the same command again when it is back";
    PEER_GONE = 222, 5, true, "the other end is gone", "see its log; run the same command again to continue";

    AUTH_FAILED = 300, 12, false, "the server refuses this login", "check user name, key and password";
    HOST_KEY_UNKNOWN = 301, 12, false, "the host key is not known", "compare its fingerprint, then accept it or add it to known_hosts";
    HOST_KEY_CHANGED = 302, 12, false, "the host key is not the known one", "somebody may be in between: ask the administrator before removing the old line from known_hosts";
    HOST_KEY_REVOKED = 303, 12, false, "the host key is revoked", "do not connect; ask the administrator";
    KEY_UNREADABLE = 304, 12, false, "a private key cannot be used", "check the file, its format and its passphrase";
    FILE_PASSPHRASE = 305, 12, false, "wrong passphrase for this encrypted file", "try another; nothing was written";
    FILE_KEY_UNFIT = 306, 12, false, "none of the given keys opens this encrypted file", "`limosa envelope info` tells whose keys do";
    BEGUN_OTHERWISE = 307, 12, false, "an unfinished encrypted upload of this file is for other keys, of another cipher or another file", "`--resume off` begins it anew";

    NOT_ALLOWED = 400, 13, false, "the server does not allow this", "ask its administrator";
    READ_NOT_ALLOWED = 401, 13, false, "this user may not download", "ask the administrator of the server";
    WRITE_NOT_ALLOWED = 402, 13, false, "this user may not upload", "ask the administrator of the server";
    NO_COMMON_SUITE = 403, 13, false, "both ends allow no common cipher", "choose another with --cipher, or ask the administrator";
    POLICY_NOT_ALLOWED = 404, 13, false, "the server does not allow this rate policy", "use --policy fair or low";
    TOO_MANY_SESSIONS = 405, 5, true, "the server serves as many sessions as it may", "try again later";
    NO_DOCROOT = 406, 13, false, "this user has no directory on the server", "the administrator sets one with `limosad user add --docroot`";
    ENCRYPTION_REQUIRED = 407, 13, false, "the server requires encryption", "leave out --cipher none, or ask the administrator";
    CIPHER_TOO_STRONG = 408, 13, false, "the server takes only sessions without encryption", "use --cipher none if the content may be seen by others, or ask the administrator";
    CIPHER_NOT_APPROVED = 409, 13, false, "this cipher is not approved, and this end is held to approved ones", "choose an AES cipher with --cipher";
    PEER_APPROVED_ONLY = 410, 13, false, "the server is held to approved ciphers, and this one is not", "choose an AES cipher with --cipher";
    CONTENT_PROTECTION_REQUIRED = 411, 13, false, "the server takes only files that the client encrypts", "use --file-crypt encrypt";
    CONTENT_PASSPHRASE_WEAK = 412, 13, false, "the server requires a passphrase for encrypted files that is harder to guess", "use eight characters or more, with a letter, a digit and something else, or --recipient without a passphrase";
    PEER_NOT_APPROVED = 415, 13, false, "the server serves only clients that use approved algorithms alone", "use --fips on";
    SSH_NOT_APPROVED = 416, 13, false, "in FIPS mode the server serves only sessions through OpenSSH", "ask its administrator for an address where OpenSSH is the SSH server";

    NOT_FOUND = 500, 4, false, "no such file or directory", "check the path";
    DIRECTORY_NOT_FOUND = 501, 3, false, "no such directory", "check the path";
    PERMISSION_DENIED = 502, 6, false, "permission denied", "check the rights on the file and its directories";
    NO_SPACE = 503, 5, true, "no space left on the disk or in the quota", "make room, then run the same command again to continue";
    READ_ONLY = 504, 7, false, "the file system is read-only", "choose another destination";
    NOT_A_DIRECTORY = 505, 6, false, "something that is no directory is in the way", "check the path";
    IS_A_DIRECTORY = 506, 6, false, "a directory is in the way", "check the path";
    ALREADY_EXISTS = 507, 6, false, "it exists already and may not be overwritten", "use --overwrite, or another name";
    NAME_TOO_LONG = 508, 6, false, "the name is too long for the file system", "shorten it";
    BAD_NAME = 509, 6, false, "the name is not allowed", "rename it at the source";
    OUTSIDE_ROOT = 510, 13, false, "the path leads out of the permitted directory", "check for `..` and links that lead outside";
    LINK_LOOP = 511, 6, false, "too many links one behind the other", "check the links";
    SPECIAL_FILE = 512, 6, false, "not a file, directory or link", "leave it out";
    SOURCE_VANISHED = 513, 6, true, "the file vanished while it was sent", "run the same command again";
    SOURCE_CHANGED = 514, 6, true, "the file changed while it was sent", "run the same command again when nobody writes to it";
    READ_FAILED = 515, 5, true, "the disk cannot read this file", "check the disk and the system log";
    WRITE_FAILED = 516, 5, true, "the disk cannot write this file", "check the disk and the system log";
    IN_USE = 517, 5, true, "another transfer writes this file", "wait for it, or end it";
    TOO_LARGE = 518, 6, false, "the file is too large for the file system", "choose another destination";
    AT_REST_KEY = 519, 7, false, "the server's key for files at rest cannot be had", "ask its administrator; `limosad check` there tells which keys it has";

    CONTENT_MISMATCH = 600, 11, true, "the content differs from what was sent, also after repeats", "check memory and disk of both machines";
    LAYOUT_MISMATCH = 601, 11, true, "the announced tree differs from what was sent", "run the same command again";
    ENVELOPE_DAMAGED = 602, 11, false, "the encrypted file is damaged, cut short or was changed", "take it from where it came once more";
    NOT_AN_ENVELOPE = 603, 6, false, "not a file that was encrypted by Limosa", "check the path";
    ENVELOPE_VERSION = 604, 7, false, "the file was encrypted by a newer version", "update Limosa";

    VERSION_MISMATCH = 700, 7, false, "the two ends speak no common version", "update the older one";
    PROTOCOL = 701, 7, false, "the other end broke the protocol", "update both ends; report it with both versions";
    NOT_LIMOSA = 702, 7, false, "the other end does not answer as Limosa does", "install limosa there; make sure that its login scripts print nothing";
    NUMBERS_USED_UP = 703, 5, true, "the session carried as many datagrams as it may", "run the same command again to continue";
    SERVER_STOPPING = 704, 5, true, "the server is being stopped", "run the same command again when it is back";
    OPEN_TIMEOUT = 705, 5, true, "the other end did not start the session in time", "try again; see its log";

    INTERNAL = 900, 7, false, "a fault of this software", "please report it with the log";
    RESOURCES = 901, 5, true, "this machine is out of memory, threads or file handles", "see ulimit; try again";
}

impl Code {
    /// The code with this number, known or not.
    #[must_use]
    pub const fn from_number(number: u16) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    fn info(self) -> Option<&'static Info> {
        TABLE.binary_search_by_key(&self.0, |info| info.number).ok().map(|index| &TABLE[index])
    }

    /// Its name in capitals, as in the documentation.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.info().map_or("UNKNOWN", |info| info.name)
    }

    /// What happened, in a few words.
    #[must_use]
    pub fn summary(self) -> &'static str {
        self.info().map_or("a code of another version", |info| info.summary)
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        self.info().map_or("compare the versions of both ends", |info| info.advice)
    }

    /// Exit status of a program that ends with this code.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        self.info().map_or(7, |info| info.exit)
    }

    /// Whether the same command may succeed later.
    #[must_use]
    pub fn may_retry(self) -> bool {
        self.info().is_some_and(|info| info.retry)
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn fault(self) -> Fault {
        match self.0 / 100 {
            0 => Fault::None,
            1 => Fault::Usage,
            2 => Fault::Network,
            3 => Fault::Authentication,
            4 => Fault::Policy,
            5 => Fault::Storage,
            6 => Fault::Integrity,
            7 => Fault::Peer,
            _ => Fault::Internal,
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.summary(), self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_complete() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].number < pair[1].number, "{} is out of order", pair[1].name);
        }
        for code in &Code::ALL[1..] {
            assert!(!code.summary().is_empty() && !code.advice().is_empty(), "{code:?}");
            assert_ne!(code.exit_status(), 0, "{code:?}");
        }
    }

    #[test]
    fn codes_of_other_versions_keep_their_number() {
        let code = Code::from_number(4242);
        assert_eq!(code.number(), 4242);
        assert_eq!(code.to_string(), "a code of another version (code 4242)");
        assert!(!code.may_retry());
    }
}
