// SPDX-License-Identifier: MPL-2.0

//! Core errors as messages for the bus, each in the domain where applications look for it.

use crate::core::Error;

/// The message, with its text as it is.
pub fn message(error: &Error) -> gst::ErrorMessage {
    let text = error.to_string();
    match error {
        Error::File { path, .. } if !path.exists() => {
            gst::error_msg!(gst::ResourceError::NotFound, ("{text}"))
        }
        Error::File { .. } => gst::error_msg!(gst::ResourceError::OpenRead, ("{text}")),
        Error::Model { .. } => gst::error_msg!(gst::LibraryError::Settings, ("{text}")),
        Error::Runtime { .. } => gst::error_msg!(gst::LibraryError::Init, ("{text}")),
        Error::Inference { .. } => gst::error_msg!(gst::LibraryError::Failed, ("{text}")),
        Error::Picture(_) => gst::error_msg!(gst::StreamError::Format, ("{text}")),
    }
}
