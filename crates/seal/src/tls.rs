//! TLS to other servers: which algorithms a client offers, and whom it
//! believes.
//!
//! Sessions do not come here: they have keys of their own
//! ([`crate::schedule`]). What is asked over HTTPS does, such as a key server.

use std::sync::{Arc, LazyLock};

use rustls::crypto::aws_lc_rs::{self as provider, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, WebPkiSupportedAlgorithms};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{RootCertStore, SignatureScheme, SupportedCipherSuite};
use rustls_platform_verifier::Verifier;

use crate::AlgorithmSet;

pub use rustls::ClientConfig;

/// AES in GCM with ephemeral keys: SP 800-52, revision 2, section 3.3.1.
const SUITES: &[SupportedCipherSuite] = &[
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];
/// SP 800-56A, revision 3, appendix D.
const GROUPS: &[&dyn SupportedKxGroup] = &[kx_group::SECP256R1, kx_group::SECP384R1];

/// FIPS 186-5 with SHA-2, as far as RSA and the NIST's curves go: what every
/// validated module has.
const SIGNATURES: &[SignatureScheme] = &[
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];
/// What verifies these, made once: the library wants it to last.
static APPROVED_SIGNATURES: LazyLock<WebPkiSupportedAlgorithms> = LazyLock::new(|| {
    let every = provider::default_provider().signature_verification_algorithms;
    let approved = every.mapping.iter().copied().filter(|(scheme, _)| SIGNATURES.contains(scheme));
    let mapping: Vec<_> = approved.collect();
    let all: Vec<_> = mapping.iter().flat_map(|(_, algorithms)| algorithms.iter().copied()).collect();
    WebPkiSupportedAlgorithms { all: all.leak(), mapping: mapping.leak() }
});

/// Why there can be no connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificates cannot be read.
    #[error("no certificates in PEM form: {0}")]
    Certificates(rustls::pki_types::pem::Error),
    /// There is none.
    #[error("it holds no certificate in PEM form")]
    NoCertificate,
    /// This machine trusts nobody.
    #[error(
        "this machine has no certificates of authorities that it trusts: install them (`ca-certificates` of most \
         distributions), or name those to believe as `ca-file`"
    )]
    NoAuthorities,
    /// They do not serve.
    #[error("{0}")]
    Unfit(#[from] rustls::Error),
}

/// A client that believes the authorities whose certificates are in `pem`, and
/// no other; without, those that this machine trusts.
///
/// # Errors
/// If there are no certificates that serve.
pub fn client(set: AlgorithmSet, pem: Option<&[u8]>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(provider_of(set));
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let mut config = match pem {
        Some(pem) => builder.with_root_certificates(authorities(pem)?).with_no_client_auth(),
        // The platform's own verifier is named dangerous as all are that are
        // not this library's.
        None => {
            // That there are none is all that is general there.
            let verifier = Verifier::new(provider).map_err(|error| match error {
                rustls::Error::General(_) => TlsError::NoAuthorities,
                error => error.into(),
            });
            let verifier = Arc::new(verifier?);
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
    };
    // SP 800-52, revision 2, section 3.5.1.
    config.require_ems = set == AlgorithmSet::Approved;
    Ok(config)
}

/// A client that believes nobody: for a connection without TLS, which none of
/// its own comes of.
///
/// # Errors
/// If the algorithms do not serve.
pub fn believing_nobody(set: AlgorithmSet) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(provider_of(set)));
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn provider_of(set: AlgorithmSet) -> CryptoProvider {
    let all = provider::default_provider();
    match set {
        AlgorithmSet::Ordinary => all,
        AlgorithmSet::Approved => CryptoProvider {
            cipher_suites: SUITES.to_vec(),
            kx_groups: GROUPS.to_vec(),
            signature_verification_algorithms: *APPROVED_SIGNATURES,
            ..all
        },
    }
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        store.add(certificate.map_err(TlsError::Certificates)?)?;
    }
    if store.is_empty() { Err(TlsError::NoCertificate) } else { Ok(store) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_certificate_is_no_authority() {
        let client = |pem: &str| client(AlgorithmSet::Ordinary, Some(pem.as_bytes()));
        assert!(matches!(client(""), Err(TlsError::NoCertificate)));
        assert!(matches!(client("-----BEGIN CERTIFICATE-----\n!\n"), Err(TlsError::Certificates(_))));
        let nothing = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(client(nothing), Err(TlsError::Unfit(_))));
    }

    #[test]
    fn only_aes_in_gcm_is_offered_where_only_approved_algorithms_may_be_used() {
        let provider = provider_of(AlgorithmSet::Approved);
        assert!(provider.cipher_suites.iter().all(|suite| format!("{:?}", suite.suite()).contains("_GCM_")));
        let groups: Vec<_> = provider.kx_groups.iter().map(|group| format!("{:?}", group.name())).collect();
        assert_eq!(groups, ["secp256r1", "secp384r1"]);
        let schemes = provider.signature_verification_algorithms.supported_schemes();
        assert!(!schemes.is_empty() && schemes.iter().all(|scheme| SIGNATURES.contains(scheme)), "{schemes:?}");
        let known = provider_of(AlgorithmSet::Ordinary).signature_verification_algorithms.supported_schemes();
        assert!(SIGNATURES.iter().all(|scheme| known.contains(scheme)), "each has one that verifies it");
        assert!(provider_of(AlgorithmSet::Ordinary).cipher_suites.len() > provider.cipher_suites.len());
    }
}
