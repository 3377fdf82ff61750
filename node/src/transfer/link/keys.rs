//! Who is at the other end: TLS 1.3 in which both sides show the raw ed25519 key that is their node id (RFC 7250),
//! as iroh does on QUIC. There are no certificates, no authorities and no names.
//!
//! Whoever dials names the node it wants and accepts no other key; whoever is dialled learns the key and decides then.

use std::sync::Arc;

use iroh::{PublicKey, SecretKey, Signature};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error,
    PeerIncompatible, ServerConfig, SignatureAlgorithm, SignatureScheme, SupportedCipherSuite,
    client::{
        ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key},
    pki_types::{
        AlgorithmIdentifier, CertificateDer, InvalidSignature, ServerName,
        SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime, alg_id,
    },
    server::{
        ClientHello, NoServerSessionStorage, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, Signer, SigningKey, public_key_to_spki},
    version::TLS13,
};
use weft_protocol::id::NodeId;

/// What both sides call the protocol that is spoken inside. Another framing would need another name.
pub(crate) const ALPN: &[u8] = b"weft/data/1";

/// What precedes the 32 bytes of an ed25519 key in its `SubjectPublicKeyInfo` (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// The node's key, ready for both roles.
#[derive(Debug)]
pub(crate) struct Keys {
    client: ClientConfig,
    server: Arc<ServerConfig>,
}

impl Keys {
    /// Prepares the key.
    ///
    /// # Errors
    /// If the cryptography compiled in lacks TLS 1.3.
    pub(crate) fn new(secret: &SecretKey) -> Result<Self, Error> {
        let provider = Arc::new(provider());
        let key = Arc::new(OwnKey::new(secret));
        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Expected(None)))
            .with_client_cert_resolver(key.clone());
        client.alpn_protocols = vec![ALPN.to_vec()];
        // Connections are kept and few; a ticket would only let an observer link them.
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(Anybody))
            .with_cert_resolver(key);
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Self {
            client,
            server: Arc::new(server),
        })
    }

    /// For dialling exactly `peer`.
    pub(crate) fn dial(&self, peer: NodeId) -> Arc<ClientConfig> {
        let mut config = self.client.clone();
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(Expected(Some(peer))));
        Arc::new(config)
    }

    /// For being dialled.
    pub(crate) fn listen(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

/// The name in the handshake. It is neither sent nor looked at: the key is the name.
pub(crate) fn server_name() -> Result<ServerName<'static>, Error> {
    ServerName::try_from("weft.invalid").map_err(|_| Error::UnsupportedNameType)
}

/// The node whose key this is, if it is an ed25519 key.
pub(crate) fn node_id(key: &CertificateDer<'_>) -> Option<NodeId> {
    let key = key.as_ref().strip_prefix(&SPKI_PREFIX)?;
    let id: [u8; 32] = key.try_into().ok()?;
    PublicKey::from_bytes(&id).ok()?;
    Some(NodeId::new(id))
}

/// ring, with the cipher first that this processor is fastest at: AES with 128 bits where it has instructions for
/// AES, ChaCha20 where it has not. Whoever dials chooses.
fn provider() -> CryptoProvider {
    #[cfg(target_arch = "x86_64")]
    let has_aes = std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    let has_aes = std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has_aes = false;
    let aes: SupportedCipherSuite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let chacha = ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256;
    CryptoProvider {
        cipher_suites: if has_aes {
            vec![aes, chacha]
        } else {
            vec![chacha, aes]
        },
        ..ring::default_provider()
    }
}

/// Shows and uses this node's key.
#[derive(Debug)]
struct OwnKey(Arc<CertifiedKey>);

impl OwnKey {
    fn new(secret: &SecretKey) -> Self {
        let key = Secret(secret.clone());
        let shown = CertificateDer::from(key.spki().to_vec());
        Self(Arc::new(CertifiedKey::new(vec![shown], Arc::new(key))))
    }
}

impl ResolvesClientCert for OwnKey {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for OwnKey {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }
}

#[derive(Debug, Clone)]
struct Secret(SecretKey);

impl Secret {
    fn spki(&self) -> SubjectPublicKeyInfoDer<'static> {
        public_key_to_spki(&alg_id::ED25519, self.0.public().as_bytes())
    }
}

impl SigningKey for Secret {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let known = offered.contains(&SignatureScheme::ED25519);
        known.then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.spki())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for Secret {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.sign(message).to_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// Accepts one node and nobody else; nobody at all before it was told whom.
#[derive(Debug)]
struct Expected(Option<NodeId>);

impl ServerCertVerifier for Expected {
    fn verify_server_cert(
        &self,
        key: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = node_id(key);
        if shown.is_some() && shown == self.0 && intermediates.is_empty() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Accepts any node that proves that it has the key it shows.
#[derive(Debug)]
struct Anybody;

impl ClientCertVerifier for Anybody {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        key: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if node_id(key).is_some() && intermediates.is_empty() {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(CertificateError::BadEncoding.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

fn verify(
    message: &[u8],
    key: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = rustls::crypto::WebPkiSupportedAlgorithms {
        all: &[&Ed25519],
        mapping: &[(SignatureScheme::ED25519, &[&Ed25519])],
    };
    let key = SubjectPublicKeyInfoDer::from(key.as_ref());
    verify_tls13_signature_with_raw_key(message, &key, signature, &algorithms)
}

/// The same strict verification that everything else about nodes goes through.
#[derive(Debug)]
struct Ed25519;

impl SignatureVerificationAlgorithm for Ed25519 {
    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = PublicKey::try_from(key).map_err(|_| InvalidSignature)?;
        let signature = Signature::try_from(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }
}
