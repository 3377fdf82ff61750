//! What a user should know at the moment of changing a setting.

use super::AuditRate;
use crate::infer::Peers;

/// Who reads along when a peer answers.
pub(crate) const READ_BY_PEERS: &str = "the peer that answers can read the prompt and the answer, and so can each peer that goes on when one fails, or that \
    checks a receipt";

/// What follows from setting a key to a value, if a prompt may leave this machine by it.
pub fn notice(key: &str, value: &str) -> Option<String> {
    match key {
        "infer.peers" => {
            let whom = match value.parse().ok()? {
                Peers::Never => return None,
                Peers::Missing => "about models that are not here are",
                Peers::Always => "are all",
            };
            Some(format!(
                "note: questions that programs ask the local port {whom} answered by peers then: {READ_BY_PEERS}."
            ))
        }
        "infer.audit_rate" => value
            .parse()
            .is_ok_and(|rate: AuditRate| rate.per_mille > 0)
            .then(|| {
                "note: where the model is not here, another peer checks the receipt: it can read the prompt and the answer."
                    .to_owned()
            }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lets_prompts_leave_is_told_who_reads_them() {
        let told = |key, value| notice(key, value).is_some_and(|text| text.contains("can read"));
        for value in ["always", "missing"] {
            assert!(told("infer.peers", value), "{value}");
        }
        assert!(told("infer.audit_rate", "0.05"));
        for (key, value) in [
            ("infer.peers", "never"),
            ("infer.peers", ""),
            ("infer.audit_rate", "0"),
            ("infer.audit_rate", ""),
            ("infer.slots", "1"),
        ] {
            assert_eq!(notice(key, value), None, "{key} {value}");
        }
    }
}
