//! HRA, OFT and BOFT against Hugging Face PEFT: folders, forward, gradients, AdamW steps, merged weights.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::path::PathBuf;

use burn::optim::GradientsParams;
use burn::tensor::Device;
use peft_core::MethodEntry;
use peft_core::merge::merge_site;
use peft_core::testing::case::{Case, gradients, host};
use peft_core::testing::tolerance::{MATMUL, assert_close};
use peft_orthogonal::boft::BOFT;
use peft_orthogonal::hra::HRA;
use peft_orthogonal::oft::OFT;

const ENTRIES: [&MethodEntry; 3] = [&HRA, &OFT, &BOFT];
const CASES: [(&str, &str); 10] = [
    ("hra", "hra"),
    ("hra", "hra-odd"),
    ("hra", "hra-gs"),
    ("oft", "oft"),
    ("oft", "oft-exact"),
    ("oft", "oft-shared"),
    ("oft", "oft-runs"),
    ("boft", "boft"),
    ("boft", "boft-number"),
    ("boft", "boft-butterfly"),
];
const CONSTRAINED: (&str, &str) = ("oft", "oft-constrained");

fn case((method, name): (&str, &str)) -> Case {
    let root = [env!("CARGO_MANIFEST_DIR"), "tests", "golden", method];
    Case::read(&root.iter().collect::<PathBuf>(), name)
}

#[test]
fn each_equals_peft() {
    for name in CASES {
        case(name).check(&ENTRIES);
    }
}

#[test]
fn a_folder_of_peft_is_written_again_byte_for_byte_with_an_equal_config() {
    for name in CASES.into_iter().chain([CONSTRAINED]) {
        case(name).check_folder(&ENTRIES);
    }
}

/// All but the steps, in which PEFT puts the shortened rotations in the place of those that train.
#[test]
fn constrained_rotations_equal_those_of_peft() {
    let case = case(CONSTRAINED);
    let device = Device::default().autodiff();
    let (network, names, _) = case.load(&ENTRIES, &device);
    let (x, y, loss) = case.loss(&network, &device);
    assert_close("y", &host(y), case.values("y"), MATMUL);
    let grads = loss.backward();
    let grad_x = host(x.grad(&grads).unwrap());
    assert_close("grad_x", &grad_x, case.values("grad_x"), MATMUL);
    let grads = GradientsParams::from_grads(grads, &network);
    let found = gradients(&network, &names, &grads);
    assert_eq!(found.len(), 1);
    for (name, values) in found {
        assert_close(&name, &values, case.values(&format!("{name}@grad")), MATMUL);
    }
    let (_, merged) = merge_site(&network.layers[0]).unwrap();
    let expected = case.values("linear.merged_weight");
    assert_close("merged", &host(merged.transpose()), expected, MATMUL);
}
