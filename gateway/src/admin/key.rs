//! The key that opens what changes state.

use std::io;

use data_encoding::BASE64URL_NOPAD;
use gateway_core::handshake::Secret;
use thiserror::Error;

use crate::auth::OneToken;

/// Bytes of a generated key: 256 bits cannot be guessed.
const KEY_BYTES: usize = 32;

/// Most bytes of a key that is given, of which there must be one: far more than a secret needs, far
/// less than a request head.
const KEY_BYTES_MAX: usize = 1024;

/// What `Authorization: Bearer …` must show: 1 to 1,024 bytes, all of them visible ASCII. `Debug`
/// does not show it.
#[derive(Clone, Debug)]
pub struct AdminKey {
    key: Secret,
    opens: OneToken,
}

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// No header could carry it.
    #[error("an admin key is 1 to {KEY_BYTES_MAX} visible ASCII characters, without spaces")]
    Unusable,
    /// The system gave no random bytes.
    #[error("cannot generate an admin key: {0}; give one with --admin-key")]
    Random(io::Error),
}

impl AdminKey {
    /// This key.
    ///
    /// # Errors
    /// If it is not 1 to 1,024 bytes, or not only visible ASCII.
    pub fn given(key: String) -> Result<Self, KeyError> {
        let fits = (1..=KEY_BYTES_MAX).contains(&key.len());
        if !fits || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(KeyError::Unusable);
        }
        Ok(Self::new(key))
    }

    /// A key that nobody can guess: 32 random bytes in base64url. The caller shows it to whoever
    /// started the program, once.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = [0; KEY_BYTES];
        fill_random(&mut bytes).map_err(KeyError::Random)?;
        Ok(Self::new(BASE64URL_NOPAD.encode_display(&bytes).to_string()))
    }

    /// The key itself, to be shown.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.key.expose()
    }

    fn new(key: String) -> Self {
        let key = Secret::from(key);
        Self { opens: OneToken::new(Some(key.clone())), key }
    }

    /// Whether this is the key; takes as long whichever characters differ.
    pub(super) fn is(&self, shown: &str) -> bool {
        self.opens.opens(&Secret::from(shown.to_owned()))
    }
}

/// Waits, early after boot, until the kernel's generator is seeded.
#[cfg(all(target_os = "linux", not(weir_portable)))]
fn fill_random(bytes: &mut [u8; KEY_BYTES]) -> io::Result<()> {
    use rustix::rand::{GetRandomFlags, getrandom};

    let filled = rustix::io::retry_on_intr(|| getrandom(&mut *bytes, GetRandomFlags::empty()))?;
    assert_eq!(filled, KEY_BYTES, "up to 256 bytes are given whole");
    Ok(())
}

/// Where there is no such file, a key has to be given.
#[cfg(not(all(target_os = "linux", not(weir_portable))))]
fn fill_random(bytes: &mut [u8; KEY_BYTES]) -> io::Result<()> {
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_long_new_and_fits_a_header() {
        let [one, other] = [(); 2].map(|()| AdminKey::generate().unwrap());
        assert_ne!(one.expose(), other.expose());
        assert_eq!(one.expose().len(), 43, "32 bytes, six bits to a character");
        assert!(AdminKey::given(one.expose().to_owned()).unwrap().is(one.expose()));
        assert!(one.is(one.expose()) && !one.is(other.expose()));
    }

    #[test]
    fn a_key_that_no_header_carries_is_refused() {
        let long = "x".repeat(KEY_BYTES_MAX + 1);
        for key in ["", "two words", "käse", "line\n", &long] {
            assert!(AdminKey::given(key.to_owned()).is_err(), "{key:?}");
        }
        for key in [&long[1..], "x"] {
            assert!(AdminKey::given(key.to_owned()).is_ok(), "the bounds themselves are right");
        }
    }

    #[test]
    fn debug_does_not_show_the_key() {
        let key = AdminKey::given("s3cret".to_owned()).unwrap();
        assert!(!format!("{key:?}").contains("s3cret"));
    }
}
