//! Parameter-efficient fine-tuning for Burn: sites, targets, adapters, LoRA, adapter files and merging.
#![doc = include_str!("../README.md")]
//!
//! ## Where to begin
//!
//! A **site** is a linear layer that can be adapted, a **method** makes an **adapter** for a site, and two
//! hosts run the same adapter: [`AdaptedLinear`] (factored, an adapter for each row, dropout) in models that are made of it, and
//! [`Hosted`] (dense weights) around any module that knows nothing of this crate. [`named`] and [`hosted`] take in a model of one's own,
//! [`attach()`] adds an adapter, [`folder`] saves and loads it, [`merge`] folds it into the weights. [`Method`] and [`Adapter`] are what a
//! new method implements.
//!
//! Everything a user sees (paths, shapes, files) is in the Hugging Face orientation and naming; in memory a
//! linear weight is Burn's `[d_in, d_out]`.
//!
//! Sites, targets, adapter files and the algebra of low-rank updates on the host are those of `peft_format`, which knows no Burn.

mod active;
mod adaptable;
mod adapter;
mod attach;
mod attached_site;
mod base_params;
mod by_id;
mod copy;
mod count;
mod effective;
mod embedding;
mod error;
pub mod export;
mod factors;
mod fields;
pub mod folder;
pub mod gradient;
mod hosted;
pub mod init;
mod linear;
pub mod lora;
pub mod merge;
mod method;
mod names;
mod observe;
pub mod options;
mod own;
mod pass;
mod procedure;
mod procedures;
mod rows;
mod site_layout;
mod spec;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tie;
mod trainable;
pub mod values;
mod weight;

pub use active::{
    AdapterStatus, LayerStatus, adapter_names, detach, layer_status, require_adapters,
    select_adapters,
};
pub use adaptable::{Adaptable, TiedOutput};
pub use adapter::{Adapter, AnyAdapter, BaseLinear, Fact, FactorPair, TensorName, cast};
pub use attach::{AttachReport, attach, require_saved_modules};
pub use attached_site::AttachedSite;
pub use base_params::{BiasTraining, saved_modules};
pub use by_id::ValuesById;
pub use copy::TrainedCopy;
pub use count::{ParameterCount, count};
pub use embedding::AdaptedEmbedding;
pub use error::PeftError;
pub use factors::Factors;
pub use hosted::{Hosted, hosted};
pub use linear::AdaptedLinear;
pub use method::{
    Method, MethodEntry, MethodResult, Peers, Share, Slot, StoredMethod, Survey, Surveyed,
};
pub use names::{Layout, Naming, ParamNames, param_id};
pub use observe::{DeltaEvent, Observer, Observers, RoutingEvent};
pub use own::named;
pub use pass::Pass;
pub use peft_derive::Adaptable;
pub use peft_format::{Ranks, Site, SiteKind, causes, file, grouped, low_rank, near, target};
pub use peft_kernels::{
    Codes, Compute, Factor, LowRankPair, PackedRows, PackedWeight, read, read_number, reads,
    try_read,
};
pub use procedure::{
    Change, Layers, Moment, Procedure, ProcedureEntry, ProcedureResult, Subject, rounds,
};
pub use procedures::Procedures;
pub use rows::RowAdapters;
pub use site_layout::{PairFields, SiteLayout, TensorShape};
pub use spec::AdapterSpec;
pub use trainable::{Trainable, TrainableParam, mark_trainable, trains};
pub use weight::Weight;
