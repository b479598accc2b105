//! TLS to receivers and to Postgres: which certificates are trusted, and when they are looked at.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier,
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Whether the server's certificate is judged, and by which authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The system's authorities (`SSL_CERT_FILE` is honoured) and Mozilla's.
    Public,
    /// The authorities in this PEM file.
    File(String),
    /// Encrypted, to whoever answers: what `sslmode=require` means in psql.
    Anyone,
}

/// A TLS client for webhook receivers.
pub fn for_receivers() -> Result<ClientConfig, String> {
    client(&Trust::Public)
}

/// A TLS connector for Postgres.
pub fn for_postgres(trust: &Trust) -> Result<MakeRustlsConnect, String> {
    Ok(MakeRustlsConnect::new(client(trust)?))
}

fn client(trust: &Trust) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder: ConfigBuilder<ClientConfig, WantsVerifier> =
        ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let verified: ConfigBuilder<ClientConfig, WantsClientCert> = match trust {
        Trust::Anyone => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        }
        Trust::Public => builder.with_root_certificates(public_roots()),
        Trust::File(path) => builder.with_root_certificates(roots_in(path)?),
    };
    Ok(verified.with_no_client_auth())
}

fn public_roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn roots_in(path: &str) -> Result<RootCertStore, String> {
    let unreadable = |error| format!("sslrootcert {path} cannot be read: {error}");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        let certificate = certificate.map_err(unreadable)?;
        roots.add(certificate).map_err(|error| format!("sslrootcert {path}: {error}"))?;
    }
    Ok(roots)
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
