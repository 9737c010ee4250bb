//! The simulator's certificate: an authority of its own, and a certificate for `localhost` and `127.0.0.1`. Both are made anew at every start.
//!
//! The authority's certificate is written to a file, which a client is told to trust (`--ca-file`). Both keys stay in memory.

use std::path::{Path, PathBuf};

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name, X509NameBuilder};

/// Name of the authority's file.
const FILE: &str = "simulate-ca.pem";
/// Days a certificate is valid.
const VALID_DAYS: u32 = 30;

/// The server's side of TLS.
pub(super) struct Identity {
    pub(super) acceptor: SslAcceptor,
    /// The file with the authority's certificate.
    pub(super) ca_file: PathBuf,
}

struct Certificates {
    authority: X509,
    server: X509,
    server_key: PKey<Private>,
}

/// Makes a certificate and writes its authority's to `folder`.
///
/// # Errors
/// OpenSSL fails, or the file cannot be written.
pub(super) fn make(folder: &Path) -> std::io::Result<Identity> {
    let Certificates { authority, server, server_key } = sign()?;
    let ca_file = folder.join(FILE);
    std::fs::create_dir_all(folder)?;
    std::fs::write(&ca_file, authority.to_pem()?)?;
    // TLS 1.3 with the client's choice of a cipher, as today's servers have it. A server of native-tls speaks TLS 1.2 only.
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    acceptor.set_private_key(&server_key)?;
    acceptor.set_certificate(&server)?;
    acceptor.add_extra_chain_cert(authority)?;
    Ok(Identity { acceptor: acceptor.build(), ca_file })
}

fn sign() -> Result<Certificates, ErrorStack> {
    let (authority_key, server_key) = (new_key()?, new_key()?);
    let authority_name = name("coltape simulator authority")?;

    let mut builder = begin(&authority_name, &authority_name, &authority_key)?;
    builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
    builder.sign(&authority_key, MessageDigest::sha256())?;
    let authority = builder.build();

    let mut builder = begin(&name("localhost")?, &authority_name, &server_key)?;
    builder.append_extension(BasicConstraints::new().build()?)?;
    builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
    let names =
        SubjectAlternativeName::new().dns("localhost").ip("127.0.0.1").ip("::1").build(&builder.x509v3_context(Some(&authority), None))?;
    builder.append_extension(names)?;
    builder.sign(&authority_key, MessageDigest::sha256())?;
    Ok(Certificates { authority, server: builder.build(), server_key })
}

fn begin(subject: &X509Name, issuer: &X509Name, key: &PKey<Private>) -> Result<X509Builder, ErrorStack> {
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    builder.set_serial_number(serial.to_asn1_integer()?.as_ref())?;
    builder.set_subject_name(subject)?;
    builder.set_issuer_name(issuer)?;
    builder.set_pubkey(key)?;
    builder.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
    builder.set_not_after(Asn1Time::days_from_now(VALID_DAYS)?.as_ref())?;
    Ok(builder)
}

fn new_key() -> Result<PKey<Private>, ErrorStack> {
    PKey::from_ec_key(EcKey::generate(EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?.as_ref())?)
}

fn name(common: &str) -> Result<X509Name, ErrorStack> {
    let mut builder = X509NameBuilder::new()?;
    builder.append_entry_by_nid(Nid::COMMONNAME, common)?;
    Ok(builder.build())
}
