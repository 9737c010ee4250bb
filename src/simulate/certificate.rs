//! The simulator's certificate: an authority of its own and a leaf for `localhost` and `127.0.0.1`, made anew at every start.
//!
//! The authority's certificate is written to a file that a client is told to trust (`--ca-file`); both keys stay in memory.

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

/// Makes a certificate, writes its authority's to `folder`, and gives the acceptor and the file's path.
///
/// # Errors
/// Where OpenSSL refuses, or the file cannot be written.
pub(super) fn make(folder: &Path) -> std::io::Result<(SslAcceptor, PathBuf)> {
    let (authority, leaf, key) = sign()?;
    let file = folder.join(FILE);
    std::fs::create_dir_all(folder)?;
    std::fs::write(&file, authority.to_pem()?)?;
    // TLS 1.3 and the client's choice of a cipher, as servers of today have it. native-tls has its servers speak 1.2 alone.
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    acceptor.set_private_key(&key)?;
    acceptor.set_certificate(&leaf)?;
    acceptor.add_extra_chain_cert(authority)?;
    Ok((acceptor.build(), file))
}

fn sign() -> Result<(X509, X509, PKey<Private>), ErrorStack> {
    let (authority_key, leaf_key) = (new_key()?, new_key()?);
    let authority_name = name("coltape simulator authority")?;

    let mut builder = begin(&authority_name, &authority_name, &authority_key)?;
    builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
    builder.sign(&authority_key, MessageDigest::sha256())?;
    let authority = builder.build();

    let mut builder = begin(&name("localhost")?, &authority_name, &leaf_key)?;
    builder.append_extension(BasicConstraints::new().build()?)?;
    builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
    let names =
        SubjectAlternativeName::new().dns("localhost").ip("127.0.0.1").ip("::1").build(&builder.x509v3_context(Some(&authority), None))?;
    builder.append_extension(names)?;
    builder.sign(&authority_key, MessageDigest::sha256())?;
    Ok((authority, builder.build(), leaf_key))
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
