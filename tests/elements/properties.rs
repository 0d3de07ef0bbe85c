// SPDX-License-Identifier: MPL-2.0

use gst::prelude::*;

use crate::init;

/// Every element of this plugin.
fn elements() -> Vec<gst::Element> {
    init();
    let features = gst::Registry::get().features_by_plugin("dfer");
    let factories = features.into_iter().filter_map(|f| f.downcast::<gst::ElementFactory>().ok());
    let elements: Vec<_> = factories.map(|f| f.create().build().unwrap()).collect();
    for name in ["dferextractor", "dferfilter", "dfertrtfilter", "dferoverlay", "dferrecorder"] {
        assert!(elements.iter().any(|e| e.factory().unwrap().name() == name), "{name}");
    }
    elements
}

fn own_properties(element: &gst::Element) -> Vec<glib::ParamSpec> {
    let inherited = ["name", "parent", "qos"];
    let all = element.list_properties();
    all.iter().filter(|p| !inherited.contains(&p.name())).cloned().collect()
}

#[test]
fn defaults_are_what_a_fresh_element_has() {
    for element in elements() {
        for pspec in own_properties(&element) {
            if pspec.flags().contains(glib::ParamFlags::WRITABLE) {
                let value = element.property_value(pspec.name());
                let same = pspec.default_value().compare(&value) == Some(std::cmp::Ordering::Equal);
                assert!(
                    same,
                    "{}::{} is {value:?}",
                    element.factory().unwrap().name(),
                    pspec.name()
                );
            }
        }
    }
}

#[test]
fn everything_is_described() {
    for element in elements() {
        let factory = element.factory().unwrap();
        for key in ["long-name", "klass", "description", "author"] {
            assert!(!factory.metadata(key).unwrap().is_empty(), "{}: {key}", factory.name());
        }
        for pspec in own_properties(&element) {
            let name = format!("{}::{}", factory.name(), pspec.name());
            assert!(pspec.blurb().is_some_and(|b| b.len() > 10), "{name}");
            let writable = pspec.flags().contains(glib::ParamFlags::WRITABLE);
            let mutable = pspec.flags().intersects(
                gst::PARAM_FLAG_MUTABLE_READY
                    | gst::PARAM_FLAG_MUTABLE_PAUSED
                    | gst::PARAM_FLAG_MUTABLE_PLAYING,
            );
            assert_eq!(writable, mutable, "{name} has to say when it may be set");
        }
    }
}
