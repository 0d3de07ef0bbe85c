// SPDX-License-Identifier: MPL-2.0

//! Labelled footage on disk.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::shown;

/// How a data set lies on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// ROOT/CLASS/(picture | video | folder of pictures).
    ClassFolders,
    /// DFEW: EmoLabel_DataSplit and Clip/clip_224x224, five folds.
    Dfew,
    /// FERV39k: 4_setups/All_scenes and 2_ClipsforFaceCrop.
    Ferv39k,
}

/// Which part of a data set that comes split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    Train,
    Test,
}

/// One labelled sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// A picture, a video, or a folder of pictures.
    pub path: PathBuf,
    /// Its path below the root.
    pub name: String,
    /// As the data set says it.
    pub label: String,
    /// Of a data set with folds, from 1.
    pub fold: Option<u8>,
}

/// Names of the seven classes that data sets use, by our name.
const SYNONYMS: [(&str, &[&str]); 7] = [
    ("happy", &["happiness", "joy", "smile"]),
    ("sad", &["sadness"]),
    ("neutral", &["neutrality", "calm"]),
    ("angry", &["anger"]),
    ("surprise", &["surprised"]),
    ("disgust", &["disgusted"]),
    ("fear", &["fearful", "afraid", "scared"]),
];

const FOLDS: u8 = 5;

/// Our name of a class, or the name as it is, in lower case.
fn canonical(name: &str) -> String {
    let name = name.trim().to_lowercase();
    let known = SYNONYMS.iter().find(|(_, others)| others.contains(&name.as_str()));
    known.map_or(name, |(ours, _)| (*ours).to_owned())
}

/// Position of a label among the classes of a model; `None` for one that is to be ignored.
///
/// # Errors
/// For a label that the model does not know.
pub fn class(label: &str, classes: &[String], ignored: &[String]) -> Result<Option<usize>, String> {
    if ignored.iter().any(|name| same_class(name, label)) {
        return Ok(None);
    }
    let found = classes.iter().position(|class| same_class(class, label));
    found.map(Some).ok_or_else(|| {
        format!(
            "class {:?} is unknown; the model knows {}; --ignore {} leaves its samples out",
            shown::text(label),
            shown::text(&classes.join(", ")),
            shown::text(label)
        )
    })
}

/// Data sets spell classes differently.
pub fn same_class(a: &str, b: &str) -> bool {
    canonical(a) == canonical(b)
}

/// All samples, in the order of their names or of the data set's lists.
pub fn samples(layout: Layout, root: &Path, split: Split) -> Result<Vec<Sample>, String> {
    let samples = match layout {
        Layout::ClassFolders => class_folders(root)?,
        Layout::Dfew => dfew(root, split)?,
        Layout::Ferv39k => ferv39k(root, split)?,
    };
    if samples.is_empty() {
        return Err(format!("{}: there are no samples in it", shown::path(root)));
    }
    Ok(samples)
}

/// Leaves the samples that `listed` names, by their names or by paths (also below `root`).
///
/// # Errors
/// For a name that no sample has.
pub fn keep(
    samples: &mut Vec<Sample>,
    listed: &[PathBuf],
    root: Option<&Path>,
) -> Result<(), String> {
    let mut wanted = vec![false; samples.len()];
    let mut places: HashMap<&Path, Vec<usize>> = HashMap::new();
    for (n, sample) in samples.iter().enumerate() {
        let below = root.and_then(|root| sample.path.strip_prefix(root).ok());
        let keys = [Path::new(&sample.name), sample.path.as_path(), below.unwrap_or(&sample.path)];
        for (k, key) in keys.iter().enumerate() {
            if !keys[..k].contains(key) {
                places.entry(key).or_default().push(n);
            }
        }
    }
    for name in listed {
        let found = places.get(name.as_path());
        let found =
            found.ok_or_else(|| format!("{}: is listed, but is no sample", shown::path(name)))?;
        found.iter().for_each(|n| wanted[*n] = true);
    }
    let mut wanted = wanted.into_iter();
    samples.retain(|_| wanted.next().unwrap_or(false));
    Ok(())
}

/// What lies in a folder, sorted; hidden files are nobody's samples.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let told = |e| format!("{}: cannot be read: {e}", shown::path(folder));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(told)? {
        let entry = entry.map_err(told)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn class_folders(root: &Path) -> Result<Vec<Sample>, String> {
    let folders: Vec<_> = entries(root)?.into_iter().filter(|path| path.is_dir()).collect();
    if folders.is_empty() {
        let root = shown::path(root);
        return Err(format!(
            "{root}: has no folders; one for each class is wanted (layout class-folders)"
        ));
    }
    let mut samples = Vec::new();
    for folder in folders {
        let label = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for path in entries(&folder)? {
            let name = shown::path(path.strip_prefix(root).unwrap_or(&path));
            samples.push(Sample { path, name, label: label.clone(), fold: None });
        }
    }
    Ok(samples)
}

fn dfew(root: &Path, split: Split) -> Result<Vec<Sample>, String> {
    let lists = match split {
        Split::Train => "EmoLabel_DataSplit/train(single-labeled)",
        Split::Test => "EmoLabel_DataSplit/test(single-labeled)",
    };
    let clips = required(root, "Clip/clip_224x224")?;
    let mut samples = Vec::new();
    for fold in 1..=FOLDS {
        let list = required(root, &format!("{lists}/set_{fold}.csv"))?;
        for (number, line) in lines(&list)? {
            let wrong = || {
                let list = shown::path(&list);
                format!(
                    "{list}: line {number} is not \"video_name,label\" with a label from 1 to 7"
                )
            };
            let (video, label) = line.split_once(',').ok_or_else(wrong)?;
            if number == 1 && label.trim().parse::<f64>().is_err() {
                continue;
            }
            let video: u32 = video.trim().parse().map_err(|_| wrong())?;
            let label: usize = label.trim().parse().map_err(|_| wrong())?;
            let (label, _) =
                label.checked_sub(1).and_then(|n| SYNONYMS.get(n)).ok_or_else(wrong)?;
            let name = format!("{video:05}");
            let path = clips.join(&name);
            samples.push(Sample { path, name, label: (*label).to_owned(), fold: Some(fold) });
        }
    }
    Ok(samples)
}

fn ferv39k(root: &Path, split: Split) -> Result<Vec<Sample>, String> {
    let list = match split {
        Split::Train => "4_setups/All_scenes/train_All.csv",
        Split::Test => "4_setups/All_scenes/test_All.csv",
    };
    let list = required(root, list)?;
    let clips = required(root, "2_ClipsforFaceCrop")?;
    let mut samples = Vec::new();
    for (number, line) in lines(&list)? {
        let (name, label) = line.rsplit_once([' ', ',', '\t']).ok_or_else(|| {
            format!("{}: line {number} is not a path and a class", shown::path(&list))
        })?;
        let name = name.trim_end_matches([' ', ',', '\t']);
        // Nothing outside the data set is read.
        if !Path::new(name).components().all(|c| matches!(c, Component::Normal(_))) {
            let list = shown::path(&list);
            return Err(format!("{list}: line {number} leads out of the data set"));
        }
        let (name, label) = (name.to_owned(), label.to_owned());
        samples.push(Sample {
            path: clips.join(&name),
            name: shown::text(&name),
            label,
            fold: None,
        });
    }
    Ok(samples)
}

fn required(root: &Path, below: &str) -> Result<PathBuf, String> {
    let path = root.join(below);
    if path.exists() {
        return Ok(path);
    }
    Err(format!("{}: {below} is missing in it; is this the data set's root?", shown::path(root)))
}

/// Lines that are not empty, with their numbers from 1.
fn lines(list: &Path) -> Result<Vec<(usize, String)>, String> {
    let text = fs::read_to_string(list)
        .map_err(|e| format!("{}: cannot be read: {e}", shown::path(list)))?;
    let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim().to_owned()));
    Ok(lines.filter(|(_, line)| !line.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_by_their_usual_names() {
        let classes = ["happy", "sad", "angry"].map(String::from);
        let ignored = ["Contempt".to_owned()];
        for (label, expected) in
            [("Happiness", Some(0)), ("SAD", Some(1)), ("anger", Some(2)), ("contempt", None)]
        {
            assert_eq!(class(label, &classes, &ignored), Ok(expected), "{label}");
        }
        let told = class("bored", &classes, &ignored).unwrap_err();
        assert!(told.contains("\"bored\"") && told.contains("happy, sad, angry"), "{told}");
    }
}
