// SPDX-License-Identifier: MPL-2.0

use super::*;

fn identity(gpu: &str, version: &str) -> Identity {
    [("gpu", gpu), ("library", version), ("graph", "1a2b")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
}

fn cache(root: &Path) -> Cache {
    Cache::new(root, identity("NVIDIA Something sm_90", "10.1"))
}

/// Builds an engine as a provider does, and keeps it.
fn build(cache: &Cache, content: &str) {
    let building = cache.build(None).unwrap();
    fs::write(building.folder().join("graph.engine"), content).unwrap();
    building.keep().unwrap();
}

fn content(cache: &Cache) -> Option<String> {
    Some(fs::read_to_string(cache.find()?.join("graph.engine")).unwrap())
}

fn entries(root: &Path) -> usize {
    fs::read_dir(root).unwrap().count()
}

#[test]
fn an_engine_is_found_again() {
    let root = tempfile::tempdir().unwrap();
    let cache = cache(&root.path().join("not/yet/there"));
    assert_eq!(cache.find(), None);
    build(&cache, "engine");
    assert_eq!(content(&cache).as_deref(), Some("engine"));
    assert_eq!(entries(&root.path().join("not/yet/there")), 1, "nothing is left of building");
    // Rebuilt: the newer one holds.
    build(&cache, "better engine");
    assert_eq!(content(&cache).as_deref(), Some("better engine"));
}

#[test]
fn what_was_not_kept_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let cache = cache(root.path());
    let building = cache.build(None).unwrap();
    fs::write(building.folder().join("graph.engine"), "half").unwrap();
    assert_eq!(cache.find(), None, "an engine under construction is nobody's");
    drop(building);
    // A provider that wrote nothing.
    cache.build(None).unwrap().keep().unwrap();
    assert_eq!((cache.find(), entries(root.path())), (None, 0));
}

#[test]
fn a_spoilt_engine_is_not_found_and_replaced() {
    let root = tempfile::tempdir().unwrap();
    let cache = cache(root.path());
    let folder = cache.folder();
    type Spoil = fn(&Path);
    let spoil: [(&str, Spoil); 7] = [
        ("cut short", |f| fs::write(f.join("graph.engine"), "eng").unwrap()),
        ("other bytes", |f| fs::write(f.join("graph.engine"), "ENGINE").unwrap()),
        ("missing", |f| fs::remove_file(f.join("graph.engine")).unwrap()),
        ("one too many", |f| fs::write(f.join("other.engine"), "other").unwrap()),
        ("no manifest", |f| fs::remove_file(f.join(MANIFEST)).unwrap()),
        ("bad manifest", |f| fs::write(f.join(MANIFEST), "{\"schema\":").unwrap()),
        ("empty manifest", |f| fs::write(f.join(MANIFEST), "").unwrap()),
    ];
    for (what, spoil) in spoil {
        build(&cache, "engine");
        spoil(&folder);
        assert_eq!(cache.find(), None, "{what}");
    }
    build(&cache, "engine");
    assert_eq!(content(&cache).as_deref(), Some("engine"));
    // A file where the folder should be.
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "in the way").unwrap();
    assert_eq!(cache.find(), None);
    build(&cache, "engine");
    assert_eq!(content(&cache).as_deref(), Some("engine"));
}

#[test]
fn an_engine_of_another_gpu_or_version_is_not_found() {
    let root = tempfile::tempdir().unwrap();
    let ours = cache(root.path());
    build(&ours, "ours");
    for other in
        [identity("NVIDIA Other sm_80", "10.1"), identity("NVIDIA Something sm_90", "10.2")]
    {
        let other = Cache::new(root.path(), other);
        assert_eq!(other.find(), None);
        // Even one that was put into the other's place.
        fs::create_dir(other.folder()).unwrap();
        for entry in fs::read_dir(ours.folder()).unwrap().flatten() {
            fs::copy(entry.path(), other.folder().join(entry.file_name())).unwrap();
        }
        assert_eq!(other.find(), None);
        build(&other, "theirs");
        assert_eq!(content(&other).as_deref(), Some("theirs"));
    }
    assert_eq!(content(&ours).as_deref(), Some("ours"));
}

/// The root user may write everywhere; a file in the folder's place is in everybody's way.
#[test]
fn a_folder_that_cannot_be_written_says_so() {
    let root = tempfile::tempdir().unwrap();
    let blocked = root.path().join("file");
    fs::write(&blocked, "").unwrap();
    let trouble = cache(&blocked.join("engines")).build(None).unwrap_err();
    assert!(trouble.contains("cannot be written") && trouble.contains("file/engines"), "{trouble}");
    // Removed by somebody while the engine is built.
    let cache = cache(&root.path().join("engines"));
    let building = cache.build(None).unwrap();
    fs::remove_dir_all(root.path().join("engines")).unwrap();
    assert!(building.keep().unwrap_err().contains("cannot be written"));
}

#[test]
fn a_seed_is_copied_and_kept_only_when_it_changed() {
    let root = tempfile::tempdir().unwrap();
    let cache = cache(root.path());
    build(&cache, "engine");
    let found = cache.find();
    let building = cache.build(found.as_deref()).unwrap();
    let copy = building.folder().join("graph.engine");
    assert_eq!(fs::read_to_string(&copy).unwrap(), "engine");
    fs::write(&copy, "engine, and what was learnt").unwrap();
    assert_eq!(content(&cache).as_deref(), Some("engine"), "the kept one is not touched");
    building.keep().unwrap();
    assert_eq!(content(&cache).as_deref(), Some("engine, and what was learnt"));
    assert_eq!(entries(root.path()), 1);
}

#[test]
fn two_that_build_at_once_leave_one_whole_engine() {
    let root = tempfile::tempdir().unwrap();
    let cache = cache(root.path());
    std::thread::scope(|scope| {
        for k in 0..8 {
            let cache = &cache;
            scope.spawn(move || {
                let building = cache.build(None).unwrap();
                fs::write(building.folder().join("graph.engine"), format!("engine {k}")).unwrap();
                // Who is overtaken may be told; nothing may be spoilt.
                let _ = building.keep();
            });
        }
    });
    assert!(content(&cache).unwrap().starts_with("engine "));
    assert_eq!(entries(root.path()), 1);
}
