//! Signatures of webhooks: our own header and those of Standard Webhooks, one signature for each live secret.

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::value::reply::Failure;

const SECRET_BYTES: usize = 32;
const SECRET_PREFIX: &str = "whsec_";

/// A new secret: `whsec_` and the base64 of 32 random bytes.
pub fn new_secret() -> Result<String, Failure> {
    let mut random = [0; SECRET_BYTES];
    getrandom::fill(&mut random).map_err(|error| Failure::Fault(error.to_string()))?;
    Ok(format!("{SECRET_PREFIX}{}", BASE64.encode(&random)))
}

/// The value of `X-AiTopUp-Signature`. The HMAC key is the whole text of the secret.
pub fn aitopup(secrets: &[String], unix_s: i64, body: &str) -> Result<String, Failure> {
    let mut header = format!("t={unix_s}");
    for secret in secrets {
        let signature = sign(secret.as_bytes(), &[unix_s.to_string().as_str(), body])?;
        header.push_str(",v1=");
        header.push_str(&HEXLOWER.encode(&signature));
    }
    Ok(header)
}

/// The value of `webhook-signature`. The HMAC key is what the secret's base64 stands for.
pub fn standard(secrets: &[String], event_id: &str, unix_s: i64, body: &str) -> Result<String, Failure> {
    let mut signatures = Vec::with_capacity(secrets.len());
    for secret in secrets {
        let encoded = secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret);
        let key = BASE64.decode(encoded.as_bytes()).map_err(|error| Failure::Fault(error.to_string()))?;
        let signature = sign(&key, &[event_id, unix_s.to_string().as_str(), body])?;
        signatures.push(format!("v1,{}", BASE64.encode(&signature)));
    }
    Ok(signatures.join(" "))
}

/// HMAC-SHA256 over the parts, joined by points.
fn sign(key: &[u8], parts: &[&str]) -> Result<Vec<u8>, Failure> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| Failure::Fault(error.to_string()))?;
    mac.update(parts.join(".").as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_standard_webhooks_is_reproduced() {
        // The test vector that the specification's own libraries carry.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        let signature =
            standard(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_live_secret_signs() {
        let secrets = [new_secret().unwrap(), new_secret().unwrap()];
        let header = aitopup(&secrets, 1_700_000_000, "{}").unwrap();
        assert!(header.starts_with("t=1700000000,v1=") && !header.contains(' '));
        assert_eq!(header.matches(",v1=").count(), 2);
        assert_eq!(standard(&secrets, "evt_1", 1, "{}").unwrap().split(' ').count(), 2);
    }
}
