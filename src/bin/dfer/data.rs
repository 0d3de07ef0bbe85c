// SPDX-License-Identifier: MPL-2.0

//! Labelled samples and what was seen in them, for the commands that measure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::dataset::{Layout, Sample, Split, class, keep, same_class, samples};
use crate::inputs::{Shard, list};
use crate::metrics::Scored;
use crate::output::{distinct, text_only};
use crate::predict::{Predictor, Seen, Settings};
use crate::results::{Header, Line, Log, Outcome, Results, SCHEMA};
use crate::{Faces, shown, stop};

/// What is looked at, and how.
#[derive(clap::Args)]
pub struct Data {
    /// Root of the data set.
    #[arg(required_unless_present = "from")]
    root: Option<PathBuf>,
    /// How the data set lies on disk.
    #[arg(long, value_enum, required_unless_present = "from")]
    layout: Option<Layout>,
    /// Part of a data set that comes split.
    #[arg(long, value_enum, default_value_t = Split::Test)]
    split: Split,
    /// Where faces come from.
    #[arg(long, value_enum, default_value_t = Faces::Detector)]
    faces: Faces,
    /// Expression network in place of the built-in one: a model.toml or its folder.
    #[arg(long, value_name = "PATH")]
    pub model: Option<PathBuf>,
    /// Face detector in place of the built-in one: a model.toml or its folder.
    #[arg(long, value_name = "PATH")]
    detector_model: Option<PathBuf>,
    /// Frames a second of folders of pictures.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(i32).range(1..=240))]
    pub rate: i32,
    /// Leave out samples of this class; may be given several times.
    #[arg(long, value_name = "CLASS")]
    ignore: Vec<String>,
    /// Look only at the samples listed in this file, one on each line (or ended by zero bytes), as
    /// paths or as results name them; - is the standard input.
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
    /// Look only at the I-th of N parts of the samples, as in 3/16.
    #[arg(long, value_name = "I/N", default_value_t = Shard::WHOLE)]
    shard: Shard,
    /// Samples looked at side by side; as many as there are processors unless given.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// File for the answer to each sample, as JSON lines that are written as they come; `dfer merge`
    /// joins those of several shards.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Go on with the file of --results: samples that were read are not looked at again.
    #[arg(long, requires = "results")]
    resume: bool,
    /// Take the answers from a file of --results or of `dfer merge`; no footage is looked at.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "root", "layout", "split", "faces", "detector_model", "rate", "ignore", "inputs", "shard",
        "jobs", "results",
    ])]
    from: Option<PathBuf>,
}

/// All labelled samples and what was seen in them.
pub struct Looked {
    /// `name@hash` of the expression network.
    pub model: String,
    pub classes: Vec<String>,
    pub readable: Vec<Row>,
    /// Name and cause.
    pub errors: Vec<(String, String)>,
    /// Of this shard, not looked at because of a signal.
    pub undone: usize,
    /// Samples looked at in this run, and how long that took.
    pace: Option<(usize, f64)>,
    /// Where it comes from, for messages.
    origin: String,
}

/// One sample that was read.
#[derive(Debug, Clone)]
pub struct Row {
    pub name: String,
    /// `None` when the answers come from a file.
    pub path: Option<PathBuf>,
    pub fold: Option<u8>,
    /// Index of the label among the classes.
    pub truth: usize,
    pub seen: Seen,
}

impl Row {
    pub fn scored(&self) -> Scored {
        Scored { truth: self.truth, answer: self.seen.answer.clone() }
    }
}

/// A sample with its number among those of all shards and the index of its label.
struct Chosen {
    n: usize,
    sample: Sample,
    truth: usize,
}

impl Data {
    /// Refuses to write two of `written` and --results into one file, or over a file that is read.
    pub fn refuse_overwriting<'a>(
        &'a self,
        written: impl IntoIterator<Item = &'a Option<PathBuf>>,
    ) -> Result<(), String> {
        let written: Vec<&Path> =
            written.into_iter().chain([&self.results]).flatten().map(PathBuf::as_path).collect();
        let read = [&self.from, &self.inputs].into_iter().flatten();
        distinct(written.iter().copied(), read.map(PathBuf::as_path))?;
        text_only(written)
    }

    /// Looks at every sample; with `logits`, keeps those of every clip.
    pub fn look(&self, logits: bool) -> Result<Looked, String> {
        match (&self.from, &self.root, self.layout) {
            (Some(file), ..) => from(Results::read(file)?, shown::path(file), logits),
            (None, Some(root), Some(layout)) => {
                let all = samples(layout, root, self.split)?;
                self.look_at(all, layout, shown::path(root), logits)
            }
            _ => Err("a data set and its layout are needed".to_owned()),
        }
    }

    fn look_at(
        &self,
        mut all: Vec<Sample>,
        layout: Layout,
        origin: String,
        logits: bool,
    ) -> Result<Looked, String> {
        if let Some(file) = &self.inputs {
            keep(&mut all, &list(file)?, self.root.as_deref())?;
        }
        let (model, detector) = (self.model.as_deref(), self.detector_model.as_deref());
        let settings = Settings { faces: self.faces, rate: self.rate, logits };
        let predictor = Predictor::new(model, detector, settings)?;
        let classes = predictor.classes();
        for name in &self.ignore {
            if !all.iter().any(|sample| same_class(&sample.label, name)) {
                tell!("dfer: --ignore {}: no sample is of this class", shown::text(name));
            }
        }
        let mut chosen = Vec::new();
        for sample in all {
            if let Some(truth) = class(&sample.label, &classes, &self.ignore)? {
                chosen.push(Chosen { n: chosen.len(), sample, truth });
            }
        }
        if chosen.is_empty() {
            return Err("every sample is of an ignored class".to_owned());
        }
        let header = Header {
            schema: SCHEMA.to_owned(),
            model: predictor.model().to_owned(),
            temperature: predictor.temperature(),
            detector: predictor.detector(),
            classes,
            layout,
            split: self.split,
            faces: self.faces,
            rate: self.rate,
            samples: chosen.len(),
            shard: self.shard,
            logits,
        };
        chosen.retain(|chosen| self.shard.has(chosen.n));
        let (mut log, mut lines) = (None, BTreeMap::new());
        if let Some(file) = &self.results {
            let (open, known) = Log::open(file, header.clone(), self.resume)?;
            (log, lines) = (Some(open), known);
            fits(&chosen, &header, &lines).map_err(|e| format!("{}: {e}", shown::path(file)))?;
        }
        let open = |chosen: &&Chosen| {
            !matches!(lines.get(&chosen.n), Some(Line { result: Outcome::Seen(_), .. }))
        };
        let todo: Vec<&Chosen> = chosen.iter().filter(open).collect();
        let begin = Instant::now();
        let mut done = Vec::new();
        let paths: Vec<_> = todo.iter().map(|chosen| &chosen.sample).collect();
        predictor.look_at_all(&paths, self.jobs(), |k, result| {
            let line = line(todo[k], &header, result);
            let written = log.as_mut().map_or(Ok(()), |log| log.add(&line));
            done.push(line);
            written
        })?;
        let pace = (!done.is_empty()).then(|| (done.len(), begin.elapsed().as_secs_f64()));
        lines.extend(done.into_iter().map(|line| (line.n, line)));
        let undone = chosen.len() - lines.len();
        let mut looked = looked(header, lines, undone, origin);
        looked.pace = pace;
        let paths: BTreeMap<&str, &PathBuf> =
            chosen.iter().map(|c| (c.sample.name.as_str(), &c.sample.path)).collect();
        for row in &mut looked.readable {
            row.path = paths.get(row.name.as_str()).copied().cloned();
        }
        Ok(looked)
    }

    fn jobs(&self) -> usize {
        self.jobs.map_or_else(
            || std::thread::available_parallelism().map_or(1, usize::from),
            usize::from,
        )
    }
}

fn line(chosen: &Chosen, header: &Header, result: Result<Seen, String>) -> Line {
    Line {
        n: chosen.n,
        sample: chosen.sample.name.clone(),
        label: header.classes[chosen.truth].clone(),
        fold: chosen.sample.fold,
        result: result.map_or_else(Outcome::Error, Outcome::Seen),
    }
}

/// Whether these lines are of these samples.
fn fits(chosen: &[Chosen], header: &Header, lines: &BTreeMap<usize, Line>) -> Result<(), String> {
    let samples: BTreeMap<usize, &Chosen> = chosen.iter().map(|c| (c.n, c)).collect();
    for line in lines.values() {
        let same = samples
            .get(&line.n)
            .is_some_and(|c| c.sample.name == line.sample && header.classes[c.truth] == line.label);
        if !same {
            return Err(format!(
                "{} is not what the data set has in its place now; give another file",
                shown::text(&line.sample)
            ));
        }
    }
    Ok(())
}

fn from(results: Results, origin: String, logits: bool) -> Result<Looked, String> {
    let Results { header, lines } = results;
    if logits && !header.logits {
        return Err(format!("{origin}: has no logits; only results of dfer calibrate have"));
    }
    let all = (0..header.samples).filter(|n| header.shard.has(*n)).count();
    let undone = all.saturating_sub(lines.len());
    Ok(looked(header, lines, undone, origin))
}

fn looked(header: Header, lines: BTreeMap<usize, Line>, undone: usize, origin: String) -> Looked {
    let Header { model, classes, .. } = header;
    let (mut readable, mut errors) = (Vec::new(), Vec::new());
    for line in lines.into_values() {
        let Line { sample: name, label, fold, result, .. } = line;
        let truth = classes.iter().position(|class| *class == label).unwrap_or(0);
        match result {
            Outcome::Seen(seen) => readable.push(Row { name, path: None, fold, truth, seen }),
            Outcome::Error(cause) => errors.push((name, cause)),
        }
    }
    Looked { model, classes, readable, errors, undone, pace: None, origin }
}

impl Looked {
    /// Says what is missing; whether nothing is.
    pub fn complain(&self) -> bool {
        if !self.errors.is_empty() {
            tell!("dfer: {} samples could not be read", self.errors.len());
        }
        if stop::requested() {
            tell!("dfer: interrupted; {} samples were not looked at", self.undone);
        } else if self.undone > 0 {
            tell!("dfer: {}: has no answer to {} samples", self.origin, self.undone);
        }
        self.errors.is_empty() && self.undone == 0
    }

    /// There is nothing to tell; after a signal that is no mistake of the data's.
    pub fn nothing(&self) -> Result<bool, String> {
        self.complain();
        match stop::requested() {
            true => Ok(false),
            false => Err(format!("{}: no sample could be read", self.origin)),
        }
    }

    /// How many samples were answered on a face that the detector alone would not have taken for
    /// one; nothing when there are none.
    pub fn doubtful(&self) -> String {
        match self.readable.iter().filter(|row| row.seen.doubtful).count() {
            0 => String::new(),
            n => format!(" ({n} of them on a doubtful face)"),
        }
    }

    /// Samples a second, if any were looked at now.
    pub fn per_second(&self) -> Option<f64> {
        self.pace.map(|(samples, seconds)| samples as f64 / seconds.max(1e-9))
    }
}
