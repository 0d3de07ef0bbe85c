// SPDX-License-Identifier: MPL-2.0

//! One run of one stream: engine and analyst, in line or with the inference thread between them.

use std::time::Duration;

use crate::core::analyst::{Analyst, ClipSettings, Networks, Stage};
use crate::core::engine::{Changes, Demands, Engine, EngineSettings, FaceResult, Upstream};
use crate::core::pixels::FrameView;
use crate::core::{Error, Ns, Rect};
use crate::runtime::worker::{self, Worker};

pub struct Session {
    engine: Engine,
    inference: Inference,
}

enum Inference {
    Inline(Box<Analyst>),
    Thread(Worker),
}

/// What one frame came to.
pub struct Analysis {
    pub faces: Vec<FaceResult>,
    /// What is to be announced; positions are those in `faces`.
    pub changes: Changes,
    /// A new shot began.
    pub cut: bool,
    pub ignored: usize,
    /// Where faces are or may be that are not among `faces`.
    pub unreported: Vec<Rect>,
    pub spent: Vec<(Stage, Duration)>,
    /// Jobs that newer ones took the place of.
    pub dropped: u64,
}

impl Session {
    /// `live`: inference on a thread named after `name`.
    pub fn new(
        name: &str,
        live: bool,
        networks: Networks,
        settings: EngineSettings,
        clips: ClipSettings,
    ) -> Result<Self, Error> {
        let demands = Demands {
            detector: networks.detector.as_ref().map(|detector| detector.spec().clone()),
            patch: Analyst::patch_size(&networks),
            expression: networks.expression.spec().clone(),
        };
        let engine = Engine::new(settings, demands);
        let analyst = Analyst::new(networks, clips);
        let inference = if live {
            Inference::Thread(Worker::spawn(name, analyst)?)
        } else {
            Inference::Inline(Box::new(analyst))
        };
        Ok(Self { engine, inference })
    }

    pub fn set_settings(&mut self, settings: EngineSettings) {
        self.engine.set_settings(settings);
    }

    /// Forgets all faces: time jumped, or the picture is another one.
    pub fn reset(&mut self) {
        self.engine.reset();
        self.reset_inference();
    }

    fn reset_inference(&mut self) {
        match &mut self.inference {
            Inference::Inline(analyst) => analyst.reset(),
            Inference::Thread(worker) => worker.reset(),
        }
    }

    /// Analyses the frame of time `t`; in live mode as far as results are there already. Places,
    /// given and found, are in the frame's own pixels, square or not.
    pub fn frame(
        &mut self,
        t: Ns,
        frame: &FrameView<'_>,
        upstream: &Upstream,
    ) -> Result<Analysis, Error> {
        let upstream: Vec<_> =
            upstream.iter().map(|(id, rect)| (*id, frame.from_memory(rect))).collect();
        let cut = self.engine.begin(t, frame, &upstream);
        if cut {
            self.reset_inference();
        }
        let (spent, dropped) = match &mut self.inference {
            Inference::Inline(analyst) => {
                // What is found now is followed from this frame on.
                if let Some(job) = self.engine.detection(frame) {
                    for outcome in worker::run(analyst, vec![job])? {
                        self.engine.absorb(outcome);
                    }
                }
                for outcome in worker::run(analyst, self.engine.faces(frame))? {
                    self.engine.absorb(outcome);
                }
                (std::mem::take(&mut analyst.spent), 0)
            }
            Inference::Thread(worker) => {
                let done = worker.collect();
                for outcome in done.outcomes {
                    self.engine.absorb(outcome?);
                }
                if let Some(job) = self.engine.detection(frame) {
                    worker.submit(job);
                }
                for job in self.engine.faces(frame) {
                    worker.submit(job);
                }
                (done.spent, done.dropped)
            }
        };
        let mut faces = self.engine.results(frame.width(), frame.height());
        let changes = self.engine.changes(&faces);
        let mut unreported = self.engine.unreported(frame.width(), frame.height(), &faces);
        let places = faces.iter_mut().map(|face| &mut face.rect).chain(&mut unreported);
        places.for_each(|rect| *rect = frame.to_memory(rect));
        let ignored = self.engine.ignored();
        Ok(Analysis { faces, changes, cut, ignored, unreported, spent, dropped })
    }
}
