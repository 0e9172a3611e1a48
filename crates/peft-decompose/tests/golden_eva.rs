//! EVA against Hugging Face PEFT: which layers get which rank, where they start, three AdamW steps, and the folder it writes.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use burn::module::Module;
use burn::tensor::Device;
use peft_core::file::{PeftConfig, read_config};
use peft_core::lora::{LORA, LoraAdapter, RSLORA};
use peft_core::testing::case::{Case, Network, host, matrix};
use peft_core::testing::tolerance::{DECOMPOSITION, assert_close};
use peft_core::{AdapterSpec, MethodEntry, ParamNames, Pass, attach, folder};
use peft_decompose::eva::EVA;

use support::{after_three_steps, case};

const ENTRIES: [&MethodEntry; 3] = [&LORA, &RSLORA, &EVA];
const CASES: [&str; 5] = ["eva", "eva-rho-1", "eva-whiten", "eva-left-out", "eva-tau"];

/// What was attached in PEFT before it saw anything.
fn spec(case: &Case) -> AdapterSpec {
    let config = case.about["config"].as_object().unwrap().clone();
    let config = PeftConfig::from_map(config).unwrap();
    let options = case.about["options"].as_object().unwrap();
    AdapterSpec {
        method: (EVA.from_options)(options).unwrap(),
        ..folder::spec_of(&ENTRIES, &config).unwrap()
    }
}

/// The network with what follows from the case's batches, which come again and again.
fn started(case: &Case, device: &Device) -> (Network, ParamNames, AdapterSpec) {
    let (base, names) = case.base(device);
    let spec = spec(case);
    let (model, report) = attach(base.clone(), &names, "default", &spec, 1).unwrap();
    let model = model.valid();
    let mut survey = spec.method.survey(&report.sites, 1).unwrap();
    let rows = usize::try_from(case.about["batch"].as_u64().unwrap()).unwrap();
    let batches = matrix(case.golden.get("batches"), &Device::default());
    for batch in batches.split(rows, 0).into_iter().cycle() {
        let _ = model.forward(batch, &mut Pass::eval().with_observer(survey.as_mut()));
        if survey.batch_ended().unwrap() {
            break;
        }
    }
    let spec = spec.surveyed(survey.found().unwrap());
    let (network, _) = attach(base, &names, "default", &spec, 1).unwrap();
    (network, names, spec)
}

fn expect_output(case: &Case, network: &Network) {
    let x = matrix(case.golden.get("x"), &Device::default());
    let y = network.valid().forward(x, &mut Pass::eval());
    assert_close("y", &host(y), case.values("y"), DECOMPOSITION);
}

#[test]
fn layers_get_the_ranks_and_directions_that_peft_gives_them() {
    for name in CASES {
        let case = case("eva", name);
        let device = Device::default().autodiff();
        let (network, ..) = started(&case, &device);
        let sites = case.about["sites"].as_array().unwrap();
        for (layer, site) in network.layers.iter().zip(sites) {
            let path = &layer.site().path;
            let rank = usize::try_from(site["rank"].as_u64().unwrap()).unwrap();
            let adapter = layer.adapter("default");
            assert_eq!(adapter.is_some(), rank > 0, "{name}: {path}");
            let Some(adapter) = adapter else {
                continue;
            };
            let adapter = adapter.downcast_ref::<LoraAdapter>().unwrap();
            assert_eq!(adapter.a.dims()[1], rank, "{name}: {path}");
            assert_eq!(adapter.scale, site["scaling"].as_f64().unwrap(), "{name}");
            let a = adapter.a.val();
            let gram = a.clone().matmul(a.transpose());
            let what = format!("{path}.gram");
            assert_close(&what, &host(gram), case.values(&what), DECOMPOSITION);
        }
        expect_output(&case, &after_three_steps(network, &case, &device));
    }
}

#[test]
fn folders_that_peft_writes_give_its_outputs() {
    for name in CASES {
        let case = case("eva", name);
        let (network, ..) = case.load(&ENTRIES, &Device::default());
        expect_output(&case, &network);
    }
}

#[test]
fn a_folder_is_plain_lora_at_the_layers_and_with_the_ranks_of_pefts() {
    for name in CASES {
        let case = case("eva", name);
        let device = Device::default().autodiff();
        let (network, names, spec) = started(&case, &device);
        let network = after_three_steps(network, &case, &device).valid();
        let dir = tempfile::tempdir().unwrap();
        folder::save(&network, &names, "default", &spec, dir.path()).unwrap();
        let (base, _) = case.base(&Device::default());
        let read = folder::load(base, &names, "again", &ENTRIES, dir.path()).unwrap();
        assert!([LORA.id, RSLORA.id].contains(&read.spec.method.entry().id));
        expect_output(&case, &read.model);

        let written = read_config(dir.path()).unwrap();
        let peft = read_config(&case.folder).unwrap();
        let sites = |config: &PeftConfig| {
            let spec = folder::spec_of(&ENTRIES, config).unwrap();
            let (base, _) = case.base(&Device::default());
            let (_, report) = attach(base, &names, "a", &spec, 1).unwrap();
            report.sites
        };
        assert_eq!(sites(&written), sites(&peft), "{name}");
        // What a resumed run attaches before it takes the values of its checkpoint.
        let again = self::spec(&case).sized_as(&written);
        assert_eq!(again.ranks(), spec.ranks(), "{name}");
        assert_eq!(again.targets, spec.targets, "{name}");
    }
}
