// SPDX-License-Identifier: MPL-2.0

//! `dfer analyze`: files to records.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use gst::prelude::*;

use crate::inputs::{self, Shard, list};
use crate::output::{
    Output, create_folder, distinct, has_ending, in_folder, is_folder, is_special, text_only,
};
use crate::player::{Player, make};
use crate::predict::Key;
use crate::records::{Copy, Records};
use crate::report::Shot;
use crate::report::timeline::{Input, moments, page};
use crate::timeline::Timeline;
use crate::{Faces, pictures, progress, shown, stop};

/// Write down what is seen in video files.
///
/// Records of schema dfer/1 as JSON lines, a summary on the standard error output.
#[derive(clap::Args)]
pub struct Arguments {
    /// Video files.
    #[arg(required_unless_present = "inputs")]
    input: Vec<PathBuf>,
    /// Also the video files listed in this file, one on each line (or ended by zero bytes); - is the
    /// standard input.
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
    /// Only the I-th of N parts of the inputs, for several machines, as in 3/16; `dfer merge` joins
    /// their records.
    #[arg(long, value_name = "I/N", default_value_t = Shard::WHOLE)]
    shard: Shard,
    /// File for the records of all inputs, or a folder that gets one for each input (in folders below
    /// it, as the inputs lie, where file names are the same).
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Video with the results drawn into it (without sound); a folder when there are several inputs.
    #[arg(long, value_name = "FILE")]
    overlay: Option<PathBuf>,
    /// Leave out inputs whose records lie in the folder of --output already and are not older than they.
    #[arg(long, requires = "output", conflicts_with = "report")]
    resume: bool,
    /// Page with a timeline of every face; it needs no network and shows no pictures.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Show the faces at key moments on the page.
    #[arg(long, requires = "report")]
    with_pictures: bool,
    /// When a record is written.
    #[arg(long, value_enum, default_value_t = Detail::Changes)]
    detail: Detail,
    /// Where faces come from.
    #[arg(long, value_enum, default_value_t = Faces::Detector)]
    faces: Faces,
    /// Expression network in place of the built-in one: a model.toml or its folder.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// Face detector in place of the built-in one: a model.toml or its folder.
    #[arg(long, value_name = "PATH")]
    detector_model: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Detail {
    /// When a face comes, goes, or changes its label or status.
    Changes,
    /// Changes, and every decision of the network.
    Decisions,
    /// Every face of every frame.
    Frames,
}

/// A file to look at.
struct Film {
    path: PathBuf,
    /// What results call it.
    name: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<bool, String> {
    let records = Records::new(arguments.output.as_deref())?;
    let all = films(arguments)?;
    let paths: Vec<PathBuf> = all.iter().map(|film| film.path.clone()).collect();
    let films = undone(all, arguments, &records)?;
    let overlays = overlays(arguments, &films)?;
    refuse_overwriting(arguments, &paths, &films, &records, &overlays)?;
    let report = arguments.report.as_deref().map(Output::new).transpose()?;
    // A shard without films has no records.
    let (mut seen, mut some) = (Vec::new(), films.is_empty());
    let (mut all_well, mut left) = (true, films.len());
    for (film, overlay) in films.iter().zip(overlays) {
        if stop::requested() {
            break;
        }
        left -= 1;
        let result = analyze(arguments, film, &records, overlay.as_deref());
        match &result {
            Ok(timeline) => {
                tell!("{}", timeline.summary(&film.title()).trim_end());
                if stop::requested() {
                    let has_video = timeline.whole || arguments.overlay.is_none();
                    let but = if has_video { "" } else { ", but no video: it came to no end" };
                    let path = shown::path(&film.path);
                    tell!("dfer: {path}: interrupted; what was seen so far is written{but}");
                }
            }
            Err(cause) => {
                all_well = false;
                tell!("dfer: {}: {cause}", shown::path(&film.path));
            }
        }
        some |= result.is_ok();
        if report.is_some() {
            let pictures = match &result {
                Ok(timeline) if arguments.with_pictures => faces(&film.path, timeline),
                _ => BTreeMap::new(),
            };
            seen.push(Input { name: film.title(), seen: result, pictures });
        }
    }
    if stop::requested() && left > 0 {
        tell!("dfer: interrupted; {left} inputs were not looked at");
    }
    records.finish(some)?;
    // Nor is a page of yesterday replaced by an empty one.
    if let Some(output) = report.filter(|_| some || !stop::requested()) {
        output.fill(page(&seen))?;
    }
    Ok(all_well)
}

/// Everything that is given.
fn films(arguments: &Arguments) -> Result<Vec<Film>, String> {
    let mut paths = arguments.input.clone();
    if let Some(file) = &arguments.inputs {
        paths.extend(list(file)?);
    }
    let paths = inputs::once(paths);
    // By the whole list: all shards choose the same names.
    let names = inputs::names(&paths);
    Ok(paths.into_iter().zip(names).map(|(path, name)| Film { path, name }).collect())
}

/// What is to be done of it.
fn undone(
    mut films: Vec<Film>,
    arguments: &Arguments,
    records: &Records,
) -> Result<Vec<Film>, String> {
    let mut n = 0..;
    films.retain(|_| n.next().is_some_and(|n| arguments.shard.has(n)));
    if arguments.resume {
        if !records.are_in_folder() {
            return Err("--resume needs a folder as --output: one file for each input".to_owned());
        }
        let all = films.len();
        films.retain(|film| !records.has(&film.name, &film.path));
        tell!("dfer: {} of {all} inputs are done already", all - films.len());
    }
    Ok(films)
}

impl Film {
    fn title(&self) -> String {
        shown::path(&self.name)
    }
}

/// Every face at its key moments.
fn faces(input: &Path, timeline: &Timeline) -> BTreeMap<u64, Vec<Shot>> {
    let of = |face| moments(face, timeline.start);
    let all: Vec<(u64, (Key, String))> = timeline
        .faces
        .iter()
        .flat_map(|(track, face)| of(face).into_iter().map(|moment| (*track, moment)))
        .collect();
    let keys: Vec<Key> = all.iter().map(|(_, (key, _))| *key).collect();
    // Folders of pictures are no inputs here.
    let taken = pictures::take(input, 1, &keys).unwrap_or_else(|cause| {
        tell!("dfer: {}: no pictures: {cause}", shown::path(input));
        Vec::new()
    });
    let mut shots: BTreeMap<u64, Vec<Shot>> = BTreeMap::new();
    for ((track, (_, text)), picture) in all.into_iter().zip(taken) {
        if let Some(picture) = picture {
            shots.entry(track).or_default().push(Shot { picture, text });
        }
    }
    shots
}

/// The video of every input.
fn overlays(arguments: &Arguments, films: &[Film]) -> Result<Vec<Option<PathBuf>>, String> {
    let Some(path) = &arguments.overlay else { return Ok(vec![None; films.len()]) };
    let several = arguments.input.len() > 1 || arguments.inputs.is_some();
    if several || is_folder(path) {
        create_folder(path)?;
        return Ok(films.iter().map(|f| Some(in_folder(path, &f.name, ".mp4"))).collect());
    }
    // What is wrong with it is told before anything is looked at.
    if !is_special(path) && !has_ending(path, &["mp4", "m4v", "mov"]) {
        return Err(format!("{}: the video is an MP4; name it .mp4", shown::path(path)));
    }
    Output::new(path)?;
    Ok(vec![Some(path.clone())])
}

fn refuse_overwriting(
    arguments: &Arguments,
    paths: &[PathBuf],
    films: &[Film],
    records: &Records,
    overlays: &[Option<PathBuf>],
) -> Result<(), String> {
    let mut texts: Vec<&Path> = arguments.report.iter().map(PathBuf::as_path).collect();
    let each: Vec<PathBuf> = match records.are_in_folder() {
        true => films.iter().filter_map(|film| records.file(&film.name)).collect(),
        false => arguments.output.iter().cloned().collect(),
    };
    texts.extend(each.iter().map(PathBuf::as_path));
    let written = texts.iter().copied().chain(overlays.iter().flatten().map(PathBuf::as_path));
    let read = paths.iter().chain(&arguments.inputs);
    distinct(written, read.map(PathBuf::as_path))?;
    text_only(texts)
}

fn analyze(
    arguments: &Arguments,
    film: &Film,
    records: &Records,
    overlay: Option<&Path>,
) -> Result<Timeline, String> {
    crate::player::check(&film.path)?;
    let filter = filter(arguments, &film.name)?;
    let recorder = make("dferrecorder")?;
    recorder.set_property_from_str("detail", arguments.detail.nick());
    let (reader, writer) = io::pipe().map_err(|e| e.to_string())?;
    recorder.set_property("location", format!("/dev/fd/{}", writer.as_raw_fd()));
    let video = overlay.map(Output::below).transpose()?;
    let mut chain = vec![filter.clone(), recorder];
    chain.extend(tail(video.as_ref())?);

    let player = Player::new(&film.path, &chain, &filter)?;
    let copy = Copy::start(reader, records, &film.name)?;
    let started = player.start();
    // The recorder holds the pipe by now; when it lets go, the copy ends.
    drop(writer);
    let played = started.and_then(|()| {
        let bar = progress::file(&film.path);
        let played = player.finish(|at| progress::show(&bar, at));
        bar.finish_and_clear();
        played
    });
    drop(chain);
    let copied = copy.finish(played.is_ok());
    let timeline = played?;
    copied?;
    // One without its end is no video.
    video.filter(|_| timeline.whole).map_or(Ok(()), Output::finish)?;
    Ok(timeline)
}

impl Detail {
    fn nick(self) -> &'static str {
        match self {
            Self::Changes => "changes",
            Self::Decisions => "decisions",
            Self::Frames => "frames",
        }
    }
}

fn filter(arguments: &Arguments, name: &Path) -> Result<gst::Element, String> {
    let filter = make("dferfilter")?;
    // The name of the element is what the records call the stream.
    filter.set_property("name", name.to_string_lossy().replace('\0', ""));
    filter.set_property_from_str("mode", "sync");
    filter.set_property_from_str("face-source", arguments.faces.nick());
    for (property, path) in
        [("model", &arguments.model), ("detector-model", &arguments.detector_model)]
    {
        let Some(path) = path else { continue };
        let text = path.to_str().ok_or_else(|| {
            format!("{}: the path of a model has to be valid UTF-8", shown::path(path))
        })?;
        filter.set_property(property, text);
    }
    Ok(filter)
}

/// What comes after the recorder.
fn tail(video: Option<&Output>) -> Result<Vec<gst::Element>, String> {
    let Some(video) = video else {
        let sink = make("fakesink")?;
        sink.set_property("sync", false);
        return Ok(vec![sink]);
    };
    let sink = make("filesink")?;
    sink.set_property("location", video.part());
    let names = ["dferoverlay", "videoconvert", "x264enc", "mp4mux"];
    let mut tail = names.into_iter().map(make).collect::<Result<Vec<_>, _>>()?;
    tail.push(sink);
    Ok(tail)
}
