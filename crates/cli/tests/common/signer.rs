//! Somebody who signs as minisign and signify do, with openssl and b2sum in their place.

use super::Host;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A secret key in a file, and its number.
pub struct Signer<'h> {
    host: &'h Host,
    name: &'static str,
    number: u8,
    /// The public key, as minisign and signify write it.
    pub public: String,
}

impl<'h> Signer<'h> {
    pub fn new(host: &'h Host, name: &'static str, number: u8) -> Self {
        host.sh("openssl", &["genpkey", "-algorithm", "ed25519", "-out", &format!("{name}.pem")]);
        host.sh("openssl", &["pkey", "-in", &format!("{name}.pem"), "-pubout", "-outform", "DER", "-out", &format!("{name}.der")]);
        let der = std::fs::read(host.work().join(format!("{name}.der"))).unwrap();
        let key = [b"Ed".as_slice(), &[number; 8], &der[der.len() - 32..]].concat();
        let public = format!("untrusted comment: {name}\n{}\n", STANDARD.encode(key));
        std::fs::write(host.work().join(format!("{name}.pub")), &public).unwrap();
        Self { host, name, number, public }
    }

    fn raw(&self, message: &[u8]) -> Vec<u8> {
        std::fs::write(self.host.work().join("to-sign"), message).unwrap();
        let key = format!("{}.pem", self.name);
        self.host.sh("openssl", &["pkeyutl", "-sign", "-rawin", "-inkey", &key, "-in", "to-sign", "-out", "signed"]);
        std::fs::read(self.host.work().join("signed")).unwrap()
    }

    fn block(&self, kind: [u8; 2], signature: &[u8]) -> String {
        let bytes = [kind.as_slice(), &[self.number; 8], signature].concat();
        format!("untrusted comment: signature\n{}\n", STANDARD.encode(bytes))
    }

    /// The signature of a file as minisign makes it: of its BLAKE2b, with a comment that is signed too.
    pub fn minisign(&self, file: &str) {
        let hex = self.host.sh("b2sum", &[file]);
        let hash: Vec<u8> = (0..64).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect();
        let signature = self.raw(&hash);
        let comment = "timestamp:1";
        let whole = self.raw(&[signature.as_slice(), comment.as_bytes()].concat());
        let text = format!("{}trusted comment: {comment}\n{}\n", self.block(*b"ED", &signature), STANDARD.encode(whole));
        std::fs::write(self.host.work().join(format!("{file}.minisig")), text).unwrap();
    }

    /// The signature of a file as signify makes it: of the file itself.
    pub fn signify(&self, file: &str) {
        let message = std::fs::read(self.host.work().join(file)).unwrap();
        let text = self.block(*b"Ed", &self.raw(&message));
        std::fs::write(self.host.work().join(format!("{file}.sig")), text).unwrap();
    }
}
