// SPDX-License-Identifier: MPL-2.0

//! Counts instead of faces: what can be said of a group without saying anything of a person.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::result::{Expression, Status};

/// The schema of records, metadata and messages that hold [`Counts`].
pub const SCHEMA: &str = "dfer-aggregate/1";

/// How many faces there are, and how many have which label.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Faces in the frame that were analysed.
    pub faces: u32,
    /// By stable label; absent where fewer than the smallest group have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, u32>>,
}

impl Counts {
    /// Labels are left out where fewer than `min_group` faces have a stable one, because what is
    /// said of a group of one is said of a person.
    pub fn new<'a>(faces: impl Iterator<Item = &'a Expression>, min_group: u32) -> Self {
        let mut counts = Self { faces: 0, labels: Some(BTreeMap::new()) };
        for e in faces.filter(|e| e.status != Status::NoFace) {
            counts.faces += 1;
            if let (Status::Stable, Some(label), Some(labels)) =
                (e.status, &e.label, &mut counts.labels)
            {
                *labels.entry(label.to_string()).or_insert(0) += 1;
            }
        }
        counts.of_groups(min_group)
    }

    /// The same for groups that have to be larger.
    pub fn of_groups(mut self, min_group: u32) -> Self {
        self.labels = self.labels.filter(|labels| labels.values().sum::<u32>() >= min_group);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_groups_have_no_labels() {
        let face = |status, label: &str| Expression {
            label: Some(label.into()),
            ..Expression::new(Some(99), status)
        };
        let faces = [
            face(Status::Stable, "happy"),
            face(Status::Stable, "sad"),
            face(Status::Stable, "happy"),
            face(Status::Uncertain, "fear"),
            face(Status::NoFace, "fear"),
        ];
        let three = Counts::new(faces.iter(), 3);
        assert_eq!(
            serde_json::to_string(&three).unwrap(),
            r#"{"faces":4,"labels":{"happy":2,"sad":1}}"#
        );
        assert_eq!(Counts::new(faces.iter(), 4), Counts { faces: 4, labels: None });
        assert_eq!(three.of_groups(4), Counts { faces: 4, labels: None });
    }
}
