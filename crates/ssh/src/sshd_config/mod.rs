//! The configuration recommended for OpenSSH's server where that, and not the
//! embedded one, faces the network.
//!
//! OpenSSH's own defaults are made to be compatible: they forward ports, take
//! passwords and know SHA-1. The text made here takes all of that away and
//! explains each block in comments. It names nothing that OpenSSH 9.2 does not
//! know, since `sshd` refuses to start over one unknown name; that is why the
//! lists are not simply those of [`algorithms`](crate::algorithms). A test says
//! what the difference is.

/// Which algorithms a server accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Everything sound that OpenSSH 9.2 and newer have.
    Recommended,
    /// Only what is approved for FIPS 140-3: SP 800-56A revision 3 for key
    /// agreement, FIPS 186-5 for signatures, SP 800-38A and 38D for ciphers,
    /// FIPS 198-1 with FIPS 180-4 for authentication; strengths of SP 800-57
    /// part 1 and SP 800-131A revision 2 (112 bits and more).
    Fips,
}

/// The algorithms of one profile, by the names of the SSH protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lists {
    /// Key exchange.
    pub key_exchange: &'static [&'static str],
    /// Signatures of the host.
    pub host_keys: &'static [&'static str],
    /// Signatures of users.
    pub user_keys: &'static [&'static str],
    /// Ciphers.
    pub ciphers: &'static [&'static str],
    /// Message authentication.
    pub macs: &'static [&'static str],
}

const RECOMMENDED: Lists = Lists {
    key_exchange: &[
        "sntrup761x25519-sha512@openssh.com",
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group14-sha256",
    ],
    host_keys: crate::algorithms::SIGNATURE,
    user_keys: &[
        "ssh-ed25519",
        "sk-ssh-ed25519@openssh.com",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ecdsa-sha2-nistp256@openssh.com",
        "rsa-sha2-512",
        "rsa-sha2-256",
    ],
    ciphers: crate::algorithms::CIPHER,
    macs: crate::algorithms::MAC,
};

const FIPS_SIGNATURES: &[&str] =
    &["ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256"];

const FIPS: Lists = Lists {
    key_exchange: &[
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group14-sha256",
    ],
    host_keys: FIPS_SIGNATURES,
    user_keys: FIPS_SIGNATURES,
    ciphers: &["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr"],
    macs: crate::algorithms::MAC,
};

const HOST_KEYS: &str = "HostKey /etc/ssh/ssh_host_ed25519_key
HostKey /etc/ssh/ssh_host_ecdsa_key
HostKey /etc/ssh/ssh_host_rsa_key
";

const FIPS_HOST_KEYS: &str = "# No Ed25519: OpenSSH computes it by itself, outside the validated module.
HostKey /etc/ssh/ssh_host_ecdsa_key
HostKey /etc/ssh/ssh_host_rsa_key
";

const ALGORITHMS: &str = "# Only what is listed is negotiated. OpenSSH 9.2 knows all of it; a name that an
# older one does not know keeps it from starting, and `sshd -t` says which.
";

const FIPS_ALGORITHMS: &str = "# Only algorithms approved for FIPS 140-3: NIST curves and the groups of
# SP 800-56A, ECDSA and RSA of FIPS 186-5, AES, HMAC with SHA-2. No curve25519,
# no chacha20, no umac. Names are all that a configuration can restrict: whether
# a validated module computes them is a matter of this machine's OpenSSH and its
# libcrypto.
";

const KEY_EXCHANGE_NOTE: &str = " The first withstands quantum computers too; from OpenSSH 9.9 on,
# mlkem768x25519-sha256 can be put in front.";

const FIPS_KEY_EXCHANGE_NOTE: &str = " Of finite fields, groups of 2,048 bits and more.";

impl Profile {
    /// The algorithms.
    #[must_use]
    pub fn lists(self) -> Lists {
        match self {
            Self::Recommended => RECOMMENDED,
            Self::Fips => FIPS,
        }
    }
}

/// The text of the configuration, to be saved as a file for `sshd -f`.
#[must_use]
pub fn sshd_config(profile: Profile) -> String {
    let (option, host_keys, algorithms, key_exchange_note) = match profile {
        Profile::Recommended => ("", HOST_KEYS, ALGORITHMS, KEY_EXCHANGE_NOTE),
        Profile::Fips => (" --fips", FIPS_HOST_KEYS, FIPS_ALGORITHMS, FIPS_KEY_EXCHANGE_NOTE),
    };
    let lists = profile.lists();
    format!(
        include_str!("template.txt"),
        option = option,
        host_keys = host_keys,
        algorithms = algorithms,
        key_exchange_note = key_exchange_note,
        key_exchange = lists.key_exchange.join(","),
        host_keys_algorithms = lists.host_keys.join(","),
        user_keys_algorithms = lists.user_keys.join(","),
        ciphers = lists.ciphers.join(","),
        macs = lists.macs.join(","),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms::{CIPHER, KEY_EXCHANGE, MAC, SIGNATURE};

    /// What is in `these` and not in `those`.
    fn beyond<'a>(these: &[&'a str], those: &[&str]) -> Vec<&'a str> {
        these.iter().copied().filter(|name| !those.contains(name)).collect()
    }

    #[test]
    fn it_differs_from_our_own_lists_by_what_openssh_alone_has_or_does_not_have_yet() {
        let lists = Profile::Recommended.lists();
        assert_eq!(beyond(lists.key_exchange, KEY_EXCHANGE), ["sntrup761x25519-sha512@openssh.com"]);
        let not_for_sshd = ["mlkem768x25519-sha256", "ext-info-c", "ext-info-s"];
        let strict = ["kex-strict-c-v00@openssh.com", "kex-strict-s-v00@openssh.com"];
        assert_eq!(beyond(KEY_EXCHANGE, lists.key_exchange), [&not_for_sshd[..], &strict[..]].concat());
        let of_tokens = ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"];
        assert_eq!(beyond(lists.user_keys, SIGNATURE), of_tokens);
        assert_eq!((lists.host_keys, lists.ciphers, lists.macs), (SIGNATURE, CIPHER, MAC));
    }

    #[test]
    fn of_ours_the_fips_profile_leaves_out_what_is_not_approved_and_no_more() {
        let (all, approved) = (Profile::Recommended.lists(), Profile::Fips.lists());
        let foreign = ["25519", "chacha20", "umac", "sk-"];
        let pairs = [
            (all.key_exchange, approved.key_exchange),
            (all.host_keys, approved.host_keys),
            (all.user_keys, approved.user_keys),
            (all.ciphers, approved.ciphers),
            (all.macs, approved.macs),
        ];
        for (all, approved) in pairs {
            let expected: Vec<_> =
                all.iter().copied().filter(|name| !foreign.iter().any(|part| name.contains(part))).collect();
            assert_eq!(approved, expected);
        }
    }

    #[test]
    fn each_profile_prints_its_lists_and_keys() {
        let fips = sshd_config(Profile::Fips);
        assert!(
            fips.contains("`limosad ssh-config --fips`") && !fips.contains("HostKey /etc/ssh/ssh_host_ed25519_key")
        );
        let directives = |text: &str| text.lines().filter(|line| !line.starts_with('#')).collect::<String>();
        assert!(!directives(&fips).contains("25519") && !directives(&fips).contains("chacha"));
        assert!(sshd_config(Profile::Recommended).contains("\nHostKey /etc/ssh/ssh_host_ed25519_key\n"));
    }
}
