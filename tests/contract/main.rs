// SPDX-License-Identifier: MPL-2.0

//! Models that break the contract: every one is refused with a message that says what is wrong.

#[path = "../common/mod.rs"]
mod common;
mod graphs;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::folder::{self, Folder};
use gstdfer::core::Error;
use gstdfer::runtime::graph::Backend;
use gstdfer::runtime::models;
use gstdfer::runtime::tract::Tract;

fn load(path: &Path) -> Result<(), Error> {
    let backend: Arc<dyn Backend> = Arc::new(Tract);
    models::expression(&backend, Some(path), 2).map(drop)
}

/// Loading that folder fails with that text.
#[track_caller]
fn refused(folder: &Folder, want: &str) {
    let error = load(folder.path()).expect_err(want);
    assert_eq!(folder.told(error), want);
}

/// Same, for the part after `model DIR/model.toml does not fit: `.
#[track_caller]
fn misfit(folder: &Folder, want: &str) {
    refused(folder, &format!("model DIR/model.toml does not fit: {want}"));
}

#[track_caller]
fn misfit_detector(folder: &Folder, want: &str) {
    let backend: Arc<dyn Backend> = Arc::new(Tract);
    let error = models::detector(&backend, Some(folder.path())).map(drop).expect_err(want);
    assert_eq!(folder.told(error), format!("model DIR/model.toml does not fit: {want}"));
}

#[test]
fn files_that_cannot_be_read() {
    let folder = folder::factored();
    let why = |path: &Path| folder.told(load(path).unwrap_err());
    assert_eq!(
        why(&folder.file("nothing.toml")),
        "cannot read DIR/nothing.toml: there is no such file; a model is a model.toml with its graphs beside it"
    );
    assert_eq!(
        why(&folder.file("encoder.onnx")),
        "cannot read DIR/encoder.onnx: this is a graph; give the model.toml that describes it, or its folder"
    );
    fs::create_dir(folder.file("empty")).unwrap();
    assert_eq!(
        why(&folder.file("empty")),
        "cannot read DIR/empty/model.toml: there is no such file; a model is a model.toml with its graphs \
         beside it"
    );
    fs::create_dir(folder.file("empty/model.toml")).unwrap();
    assert_eq!(
        why(&folder.file("empty")),
        "cannot read DIR/empty/model.toml: it is a folder where a file should be; a model is a model.toml \
         with its graphs beside it"
    );
    fs::write(folder.file("binary.toml"), b"name = \"\xff\xfe\"").unwrap();
    assert_eq!(
        why(&folder.file("binary.toml")),
        "cannot read DIR/binary.toml: it is not UTF-8 text from byte 8 on"
    );
    fs::write(folder.file("long.toml"), "#".repeat(65537)).unwrap();
    assert_eq!(
        why(&folder.file("long.toml")),
        "cannot read DIR/long.toml: it is larger than the 65536 bytes that are accepted; a model is a \
         model.toml with its graphs beside it"
    );
    fs::write(folder.file("none.toml"), "").unwrap();
    assert_eq!(
        why(&folder.file("none.toml")),
        "cannot read DIR/none.toml: it is empty; a model is a model.toml with its graphs beside it"
    );
}

#[test]
#[cfg(unix)]
fn things_that_are_no_files() {
    assert_eq!(
        load(Path::new("/dev/zero")).unwrap_err().to_string(),
        "cannot read /dev/zero: it is not a regular file; a model is a model.toml with its graphs beside it"
    );
    let (folder, elsewhere) = (folder::factored(), folder::factored());
    fs::remove_file(folder.file("head.onnx")).unwrap();
    std::os::unix::fs::symlink(elsewhere.file("head.onnx"), folder.file("head.onnx")).unwrap();
    refused(
        &folder,
        "cannot read DIR/head.onnx: it is a link to a place outside the model's folder; put the file itself \
         there",
    );
}

#[test]
fn graphs_that_are_not_the_ones_described() {
    let folder = folder::factored();
    fs::remove_file(folder.file("head.onnx")).unwrap();
    refused(&folder, "cannot read DIR/head.onnx: there is no such file; DIR/model.toml names it");
    fs::create_dir(folder.file("head.onnx")).unwrap();
    refused(
        &folder,
        "cannot read DIR/head.onnx: it is a folder where a file should be; DIR/model.toml names it",
    );

    fs::remove_dir(folder.file("head.onnx")).unwrap();
    fs::File::create(folder.file("head.onnx")).unwrap().set_len((512 << 20) + 1).unwrap();
    refused(
        &folder,
        "cannot read DIR/head.onnx: it is larger than the 536870912 bytes that are accepted; DIR/model.toml \
         names it",
    );

    let folder = folder::factored();
    let mut bytes = fs::read(folder.file("head.onnx")).unwrap();
    let good = folder::sha256(&bytes);
    bytes.pop();
    fs::write(folder.file("head.onnx"), &bytes).unwrap();
    let found = folder::sha256(&bytes);
    misfit(
        &folder,
        &format!(
            "head.onnx has the SHA-256 {found}, but {good} is written down; put back the file that belongs to \
             this model, or correct sha256 if you changed it yourself"
        ),
    );
}

#[test]
fn text_that_is_not_the_schema() {
    let edited = |from, to| folder::factored().edited(from, to);
    misfit(
        &edited("dfer-model/1", "dfer-model/2"),
        "schema is \"dfer-model/2\", only \"dfer-model/1\" is understood",
    );
    misfit(
        &edited("schema = \"dfer-model/1\"", ""),
        "schema is missing; write schema = \"dfer-model/1\"",
    );
    misfit(
        &edited("\"factored\"", "\"frames\""),
        "kind is \"frames\", it can be \"factored\", \"clip\" or \"detector\"",
    );
    misfit(
        &edited("kind = \"factored\"", ""),
        "kind is missing; it can be \"factored\", \"clip\" or \"detector\"",
    );
    misfit(
        &edited("size = 16", "size = 16\ncolour = \"red\""),
        "line 8: unknown field `colour`, expected one of `size`, `channels`, `mean`, `std`, `layout`",
    );
    misfit(&edited("rate = 15.0", ""), "line 17: missing field `rate`");
    misfit(
        &edited("rate = 15.0", "rate = 15.0\nframes = 12"),
        "[sampling] frames: only kind = \"clip\" has it; leave it out",
    );
    misfit(
        &folder::clip("BTCHW").edited("frames = 6", ""),
        "[sampling] frames: it is missing; write how many frames a clip has",
    );
    misfit(
        &edited("name = \"tiny\"", "name = 7"),
        "line 3: invalid type: integer `7`, expected a string",
    );
    misfit(&edited("\"NCHW\"", "\"NHWC\""), "line 11: unknown variant `NHWC`, expected `NCHW`");
    misfit(&edited("[crop]", "[crop"), "line 13: unclosed table, expected `]`");
    misfit(
        &folder::clip("BTCHW").edited("\"BTCHW\"", "\"TBCHW\""),
        "line 11: unknown variant `TBCHW`, expected `BTCHW` or `BCTHW`",
    );
}

#[test]
fn values_out_of_range() {
    for (from, to, want) in [
        ("\"tiny\"", "\"a b\"", "name: \"a b\" is not 1 to 64 letters, digits and any of - _ . +"),
        ("\"sad\"", "\"happy\"", "classes: \"happy\" is there twice"),
        ("\"sad\"", "\"\"", "classes: \"\" is not 1 to 64 bytes of plain text"),
        ("\"happy\", \"sad\", ", "", "number of classes: 1 is not from 2 to 64"),
        ("size = 16", "size = 0", "[input] size: 0 is not from 16 to 1024"),
        ("mean = [0.5]", "mean = [nan]", "[input] mean: NaN is not from -10 to 10"),
        (
            "mean = [0.5]",
            "mean = []",
            "[input] mean: it has 0 values, one for each of 1 channels is wanted",
        ),
        ("std = [0.5]", "std = [0.0]", "[input] std: 0 is not from 0.0001 to 10"),
        ("[0.3, 0.4]", "[0.3, inf]", "[crop] template: inf is not from -1 to 2"),
        (
            "[0.1, 0.0, 0.8, 1.0]",
            "[0.1, 0.0, 0.0, 1.0]",
            "[crop] box (width, height): 0 is not from 0.05 to 3",
        ),
        (
            "[sampling]",
            "scales = []\n[sampling]",
            "[crop] scales (how many): 0 is not from 1 to 100",
        ),
        ("[sampling]", "scales = [1.0, 0.0]\n[sampling]", "[crop] scales: 0 is not from 0.5 to 2"),
        ("rate = 15.0", "rate = 500.0", "[sampling] rate: 500 is not from 1 to 60"),
        ("window = 2.56", "window = -1.0", "[sampling] window: -1 is not from 0.2 to 30"),
        (
            "synopsis = 4",
            "synopsis = 1",
            "[sampling] synopsis: 1 is not from 2 to 256; [sampling] moments: 2 is not from 0 to 1",
        ),
        (
            "moments = 2",
            "moments = 0",
            "[sampling] moments: 0 leaves the head without detail; write 1 or more",
        ),
        ("moments = 2", "moments = 5", "[sampling] moments: 5 is not from 0 to 4"),
        ("detail = 2", "detail = 0", "[sampling] detail: 0 is not from 1 to 64"),
        (
            "temperature = 1.5",
            "temperature = 0.0",
            "[calibration] temperature: 0 is not from 0.01 to 100",
        ),
        (
            "min-agreement = 0.6",
            "agreement-temperature = 0.0\nmin-agreement = 0.6",
            "[calibration] agreement-temperature: 0 is not from 0.01 to 100",
        ),
        (
            "min-agreement = 0.6",
            "min-agreement = 1.5",
            "[calibration] min-agreement: 1.5 is not from 0 to 1",
        ),
        (
            "min-confidence = 0.4",
            "min-confidence = -0.5",
            "[calibration] min-confidence: -0.5 is not from 0 to 1",
        ),
        (
            "\"head.onnx\"",
            "\"../head.onnx\"",
            "[graphs.head] file: \"../head.onnx\" is not a path inside the folder of the model.toml",
        ),
        (
            "\"head.onnx\"",
            "\"/etc/passwd\"",
            "[graphs.head] file: \"/etc/passwd\" is not a path inside the folder of the model.toml",
        ),
        (
            "[[0.3, 0.4], [0.7, 0.4]",
            "[[0.7, 0.4], [0.3, 0.4]",
            "[crop] template: it takes eye left, eye right, nose, mouth left, mouth right as seen in the \
             picture, the left ones with the smaller x",
        ),
    ] {
        misfit(&folder::factored().edited(from, to), want);
    }
    let hash = folder::sha256(&fs::read(folder::factored().file("head.onnx")).unwrap());
    misfit(
        &folder::factored().edited(&hash, "0123"),
        "[graphs.head] sha256: \"0123\" is not 64 hex digits, as sha256sum prints them",
    );
    misfit(
        &folder::factored().edited("size = 16", "size = 8").edited("rate = 15.0", "rate = 0.0"),
        "[input] size: 8 is not from 16 to 1024; [sampling] rate: 0 is not from 1 to 60",
    );
}

#[test]
fn clips_and_detectors_out_of_range() {
    misfit(
        &folder::clip("BTCHW").edited("frames = 6", "frames = 16"),
        "[sampling] synopsis + moments x detail: 4 + 1 x 2 is 6, but frames is 16",
    );
    misfit(
        &folder::clip("BTCHW").edited("moments = 1", "moments = 9223372036854775807"),
        "[sampling] synopsis + moments x detail: 4 + 9223372036854775807 x 2 is 18446744073709551615, but \
         frames is 6; [sampling] moments: 9223372036854775807 is not from 0 to 4",
    );
    misfit(
        &folder::clip("BTCHW").edited("\"frames\"", "\"\""),
        "[graphs.clip] input: it must be the name of the graph's input",
    );
    let detector = |from, to| folder::detector().edited(from, to);
    misfit_detector(
        &detector("strides = [8]", "strides = [8, 12]"),
        "strides: [8, 12] are not powers of two from 2 to 128 in rising order",
    );
    misfit_detector(
        &detector("[32, 64]", "[36, 64]"),
        "[input] size: 36 is no multiple of the stride 8",
    );
    misfit_detector(
        &detector("track-size = 32", "track-size = 9000"),
        "[input] track-size: 9000 is not from 32 to 4096",
    );
    misfit_detector(
        &detector("score-threshold = 0.5", "score-threshold = 2"),
        "score-threshold: 2 is not from 0.01 to 1",
    );
}

#[test]
fn a_model_in_the_wrong_place() {
    misfit(
        &folder::detector(),
        "kind is \"detector\", an expression model (\"factored\" or \"clip\") is wanted here",
    );
    misfit_detector(&folder::factored(), "kind is \"factored\", a detector is wanted here");
}

#[test]
fn descriptions_for_people() {
    let folder = folder::factored();
    let info = models::describe(Some(folder.path())).unwrap();
    let hash = folder::sha256(
        &[
            fs::read(folder.file("encoder.onnx")).unwrap(),
            fs::read(folder.file("head.onnx")).unwrap(),
        ]
        .concat(),
    );
    assert_eq!(info.model, format!("tiny@{}", &hash[..12]));
    let json = serde_json::to_value(&info).unwrap();
    assert_eq!(json["kind"], "factored");
    assert_eq!(json["classes"][2], "neutral");
    assert_eq!(json["graphs"][1]["file"], "head.onnx");
    assert_eq!(json["inputs"][0]["shape"], serde_json::json!([1, 1, 16, 16]));
    assert_eq!(json["sampling"]["window"], 2.56);
    assert_eq!(json["calibration"]["temperature"], 1.5);
    assert!(json.get("score-threshold").is_none());

    let info = models::describe(Some(folder::clip("BCTHW").path())).unwrap();
    assert_eq!((info.inputs[0].layout, &*info.inputs[0].shape), ("BCTHW", &[1, 3, 6, 16, 16][..]));
    let info = models::describe(Some(folder::detector().path())).unwrap();
    assert_eq!(info.inputs[1].shape, [1, 3, 32, 32]);
    assert_eq!(info.score_threshold, Some(0.5));
}
