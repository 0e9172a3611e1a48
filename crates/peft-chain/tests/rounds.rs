//! Rounds on a tiny model: merging changes nothing, the whole is one LoRA, and a folder's worth of it brings the same bits back.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use burn::optim::{AdamWConfig, ModuleOptimizer};
use burn::tensor::Device;
use peft_chain::{CHAIN, Chain, ChainOptions};
use peft_core::lora::{LoraAdapter, Scaling};
use peft_core::target::TargetRules;
use peft_core::testing::case::host as values;
use peft_core::testing::contract::train;
use peft_core::testing::tiny::{self, Tiny};
use peft_core::testing::tolerance::{MATMUL, assert_close};
use peft_core::{
    AdapterSpec, Change, Layers, Moment, ParamNames, Pass, Procedure, Subject, attach,
};
use serde_json::json;

const EVERY: usize = 2;
const TOTAL: usize = 7;

fn subject(scaling: Scaling) -> Subject {
    let entry = match scaling {
        Scaling::Standard => &peft_core::lora::LORA,
        Scaling::RankStabilized => &peft_core::lora::RSLORA,
    };
    Subject {
        name: "default".into(),
        spec: AdapterSpec {
            method: (entry.from_options)(&serde_json::Map::new()).unwrap(),
            rank: 2,
            alpha: 3.0,
            rank_pattern: [("down_proj".to_owned(), 3)].into_iter().collect(),
            targets: TargetRules::list(["up_proj", "down_proj"]),
            ..AdapterSpec::default()
        },
        seed: 11,
    }
}

fn start(subject: &Subject, device: &Device) -> (Tiny, ParamNames) {
    let (model, names) = Tiny::new(device);
    let (model, report) = attach(model, &names, "default", &subject.spec, subject.seed).unwrap();
    assert_eq!(report.sites.len(), 2);
    (model, names)
}

fn chain() -> Chain {
    Chain::new(ChainOptions {
        every: EVERY,
        warmup: 1,
    })
}

fn outputs(model: &Tiny, device: &Device) -> Vec<f32> {
    values(model.forward(tiny::inputs(9, device), &mut Pass::eval()))
}

/// Factors of every adapted layer.
fn factors(model: &Tiny) -> Vec<Vec<f32>> {
    let mut found = vec![];
    model.each(&mut |linear| {
        if let Some(adapter) = linear.adapter("default") {
            let lora = adapter.downcast_ref::<LoraAdapter>().unwrap();
            found.extend([values(lora.a.val()), values(lora.b.val())]);
        }
    });
    found
}

/// Weights of every layer.
fn weights(model: &Tiny) -> Vec<Vec<f32>> {
    let mut found = vec![];
    model.each(&mut |linear| found.push(values(linear.weight.val())));
    found
}

/// Steps with a chain; gives the model and how many times it was merged.
fn run(chain: &mut Chain, subject: &Subject, mut model: Tiny, device: &Device) -> (Tiny, usize) {
    let mut optimizer: ModuleOptimizer = AdamWConfig::new().init();
    let mut merged = 0;
    for step in 1..=TOTAL {
        model = train(model, &mut optimizer, 1);
        let before = outputs(&model, device);
        let at = Moment { step, total: TOTAL };
        match chain.after_step(at, Some(subject), &mut model).unwrap() {
            Change::Nothing => assert_ne!(step % EVERY, 0),
            Change::Values { reset } => {
                merged += 1;
                assert_eq!(reset.len(), 4);
                assert_close("outputs", &outputs(&model, device), &before, MATMUL);
                let b = &factors(&model)[1];
                assert!(b.iter().all(|value| *value == 0.0), "a new start");
            }
        }
    }
    (model, merged)
}

#[test]
fn rounds_add_up_to_one_lora_and_come_back_to_the_bit() {
    let device = Device::default().autodiff();
    for scaling in [Scaling::Standard, Scaling::RankStabilized] {
        let subject = subject(scaling);
        let mut chain = chain();
        let (model, names) = start(&subject, &device);
        let base = weights(&model);
        let (model, merged) = run(&mut chain, &subject, model, &device);
        assert_eq!(merged, 3);
        assert_ne!(weights(&model)[0], base[0], "updates were merged");

        let mut whole = model.clone();
        let spec = chain.gather(&subject, &mut whole).unwrap().unwrap();
        assert_eq!((spec.rank, spec.rank_pattern["down_proj"]), (8, 12));
        assert_eq!(weights(&whole), base, "the weights as they were");
        assert_close(
            "one LoRA of all rounds",
            &outputs(&whole, &device),
            &outputs(&model, &device),
            MATMUL,
        );
        // As another program finds it, from the folder alone.
        let dir = tempfile::tempdir().unwrap();
        peft_core::folder::save(&whole, &names, "default", &spec, dir.path()).unwrap();
        let mut again = chain_of(&chain);
        let (mut read, _) = start(&subject, &device);
        let described = again.gather(&subject, &mut read).unwrap().unwrap();
        let mut read =
            peft_core::folder::restore(read, &names, "default", &described, dir.path()).unwrap();
        again.scatter(&subject, &mut read).unwrap();
        assert_eq!(factors(&read), factors(&model));
        assert_eq!(weights(&read), weights(&model));
        let mut optimizers = [AdamWConfig::new().init(), AdamWConfig::new().init()];
        let [one, other] = &mut optimizers;
        let (read, model) = (train(read, one, 2), train(model, other, 2));
        assert_eq!(factors(&read), factors(&model), "both train on alike");
    }
}

#[test]
fn a_run_that_goes_back_to_before_the_first_merge_has_the_weights_of_then() {
    let device = Device::default().autodiff();
    let subject = subject(Scaling::Standard);
    let mut chain = chain();
    let (model, _) = start(&subject, &device);
    let (base, state) = (weights(&model), chain.state());
    let (mut model, _) = run(&mut chain, &subject, model, &device);
    chain.load_state(state).unwrap();
    assert!(chain.gather(&subject, &mut model).unwrap().is_none());
    chain.scatter(&subject, &mut model).unwrap();
    assert_eq!(weights(&model), base);
    assert_eq!(factors(&model)[0].len(), 2 * tiny::WIDTHS[0]);
}

/// A chain that knows what a checkpoint says of another.
fn chain_of(other: &Chain) -> Chain {
    let mut again = chain();
    again.load_state(other.state()).unwrap();
    again
}

#[test]
fn before_the_first_merge_a_folder_holds_what_trains() {
    let device = Device::default().autodiff();
    let subject = subject(Scaling::Standard);
    let (mut model, _) = start(&subject, &device);
    let before = factors(&model);
    let mut chain = chain();
    assert!(chain.gather(&subject, &mut model).unwrap().is_none());
    chain.scatter(&subject, &mut model).unwrap();
    assert_eq!(factors(&model), before);
}

#[test]
fn rates_rise_anew_in_every_round_but_the_first() {
    let chain = Chain::new(ChainOptions {
        every: 4,
        warmup: 2,
    });
    let rates = (0..9).map(|step| chain.rate(Moment { step, total: 9 }));
    let third = 1.0 / 3.0;
    let expected = [1.0, 1.0, 1.0, 1.0, third, 2.0 * third, 1.0, 1.0, third];
    assert_eq!(rates.collect::<Vec<_>>(), expected);
}

#[test]
fn what_cannot_be_a_chain_is_refused_by_name() {
    let device = Device::default().autodiff();
    let subject = subject(Scaling::Standard);
    let (model, _) = start(&subject, &device);
    let refusal = |subject: Option<&Subject>, total: usize| {
        chain()
            .check(subject, &model, total)
            .unwrap_err()
            .to_string()
    };
    assert!(chain().check(Some(&subject), &model, TOTAL).is_ok());
    assert!(refusal(Some(&subject), EVERY).contains("fewer than the 2 steps"));
    assert!(refusal(None, TOTAL).contains("found no adapter"));
    for (options, part) in [
        (json!({"every": 3, "warmup": 3}), "expected more steps"),
        (json!({"every": 0}), "found 0"),
        (json!({"evry": 3}), "evry"),
    ] {
        let error = (CHAIN.from_options)(options.as_object().unwrap()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    let mut chain = chain();
    assert!(chain.load_state([].into()).is_err());
}
