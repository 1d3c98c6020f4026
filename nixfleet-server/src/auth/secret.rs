//! Making secrets: 256 random bits in letters and digits, with a prefix that secret scanners know.

use data_encoding::BASE32_NOPAD;
use secrecy::SecretString;

/// What a secret is for, which is what its prefix says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// `nfp_`: opens the HTTP API.
    ApiToken,
    /// `nfa_`: opens the agent channel.
    AgentToken,
    /// No prefix: a session id or a ticket, never seen by a person.
    Internal,
}

impl SecretKind {
    /// The prefix.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            SecretKind::ApiToken => "nfp_",
            SecretKind::AgentToken => "nfa_",
            SecretKind::Internal => "",
        }
    }
}

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness(#[source] getrandom::Error);

/// A new secret.
///
/// # Errors
/// [`NoRandomness`].
pub fn fresh(kind: SecretKind) -> Result<SecretString, NoRandomness> {
    let body = BASE32_NOPAD.encode(&random::<32>()?).to_lowercase();
    Ok(format!("{}{body}", kind.prefix()).into())
}

/// A new password for a person to type: 100 random bits in groups of five letters and digits.
///
/// # Errors
/// [`NoRandomness`].
pub fn fresh_password() -> Result<SecretString, NoRandomness> {
    let text = BASE32_NOPAD.encode(&random::<13>()?).to_lowercase();
    let groups: Vec<&str> = (0..4).filter_map(|i| text.get(i * 5..i * 5 + 5)).collect();
    Ok(groups.join("-").into())
}

fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn secrets_are_long_different_and_recognisable() {
        let made: BTreeSet<String> = (0..1000)
            .map(|_| {
                fresh(SecretKind::ApiToken)
                    .unwrap()
                    .expose_secret()
                    .to_owned()
            })
            .collect();
        assert_eq!(made.len(), 1000);
        assert!(
            made.iter()
                .all(|secret| secret.starts_with("nfp_") && secret.len() == 4 + 52)
        );
        let password = fresh_password().unwrap();
        assert_eq!(password.expose_secret().len(), 23);
    }
}
