//! Scores, shares and plans: exact properties, planted problems, degenerate cases, files.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use burn::tensor::{Bool, Device, Tensor, TensorData};
use indexmap::IndexMap;
use peft_core::lora::Scaling;
use peft_core::testing::tolerance::{MATMUL, assert_close};
use peft_core::{AttachedSite, Pass};
use peft_prune::{
    Budget, OutputImportance, OutputNorm, Plan, PlanError, Scope, ScoreKind, SiteScore,
    parameter_norms, random_scores, scored,
};
use support::{D, LAYERS, RANK, Stack, adapted, factors, host, inputs, lora, spec, with_b};

fn measured(stack: &Stack, norm: OutputNorm, device: &Device) -> IndexMap<String, f64> {
    let mut observer = OutputImportance::new(norm);
    let _ = stack.forward(
        inputs(device),
        &mut Pass::eval().with_observer(&mut observer),
    );
    observer.sums().clone()
}

fn plan(scores: &[SiteScore], scope: Scope, budget: Budget) -> Plan {
    Plan::make(scores, ScoreKind::Output, scope, budget, Scaling::Standard).unwrap()
}

fn sharing_sites(plan: &Plan) -> Vec<String> {
    plan.shared().keys().cloned().collect()
}

fn site(path: &str) -> AttachedSite {
    AttachedSite {
        path: path.into(),
        d_in: 4,
        d_out: 6,
        rank: 2,
        alpha: 4.0,
        trainable: 20,
    }
}

fn scores(values: &[(&str, f64)]) -> Vec<SiteScore> {
    let score = |(path, score): &(&str, f64)| SiteScore {
        site: site(path),
        score: *score,
    };
    values.iter().map(score).collect()
}

#[test]
fn the_score_is_the_squared_norm_of_what_the_adapter_adds_without_padding() {
    let device = Device::flex();
    let (stack, _, report) = adapted(&spec(lora()), &device, true);
    let found = measured(&stack, OutputNorm::Squared, &device);
    assert_eq!(found.len(), report.sites.len());
    let lora = factors(&stack, 0);
    let delta = inputs(&device)
        .matmul(lora.a.val())
        .matmul(lora.b.val())
        .mul_scalar(lora.scale);
    let rows: Vec<f32> = host(delta.powi_scalar(2).sum_dim(1));
    let sum: f32 = rows.iter().sum();
    assert_close(
        "first layer",
        &[found["layers.0.query"] as f32],
        &[sum],
        MATMUL,
    );
    let plain = measured(&stack, OutputNorm::Plain, &device)["layers.0.query"];
    let roots: f32 = rows.iter().map(|r| r.sqrt()).sum();
    assert_close("plain norm", &[plain as f32], &[roots], MATMUL);

    let padding = [false, false, true].repeat(4);
    let kept: f32 = rows
        .iter()
        .zip(&padding)
        .filter(|(_, p)| !**p)
        .map(|(r, _)| r)
        .sum();
    let mask = Tensor::<2, Bool>::from_data(TensorData::new(padding, [4, 3]), &device);
    let mut observer = OutputImportance::default();
    let mut pass = Pass::eval().with_observer(&mut observer);
    pass.set_padding(Some(mask));
    let _ = stack.forward(inputs(&device), &mut pass);
    assert_close(
        "masked",
        &[observer.sums()["layers.0.query"] as f32],
        &[kept],
        MATMUL,
    );
}

#[test]
fn the_score_does_not_see_the_gauge_and_grows_with_the_square_of_b() {
    let device = Device::flex();
    let (stack, _, _) = adapted(&spec(lora()), &device, true);
    let before = measured(&stack, OutputNorm::Squared, &device)["layers.0.query"];
    let b = host(factors(&stack, 0).b.val());
    let tripled = with_b(stack.clone(), 0, b.iter().map(|v| 3.0 * v).collect());
    let after = measured(&tripled, OutputNorm::Squared, &device)["layers.0.query"];
    assert!((after / before - 9.0).abs() < 1e-4, "{after} and {before}");
    let norms = parameter_norms(&stack, "a");
    let tripled = parameter_norms(&tripled, "a");
    assert!((tripled["layers.0.query"] / norms["layers.0.query"] - 9.0).abs() < 1e-4);
    // (A M^-1)(M B) with M = diag(2, -1/4): another pair of the same product.
    let lora = factors(&stack, 0);
    let m = Tensor::<2>::from_floats([[2.0, 0.0], [0.0, -0.25]], &device);
    let inverse = Tensor::<2>::from_floats([[0.5, 0.0], [0.0, -4.0]], &device);
    let (a, b) = (lora.a.val().matmul(inverse), m.matmul(lora.b.val()));
    let delta =
        |a: Tensor<2>, b: Tensor<2>| inputs(&device).matmul(a).matmul(b).powi_scalar(2).sum();
    let (one, other) = (delta(lora.a.val(), lora.b.val()), delta(a, b));
    assert_close("gauge", &host(one), &host(other), MATMUL);
}

#[test]
fn planted_layers_are_the_ones_that_are_kept() {
    let device = Device::flex();
    let (mut stack, _, report) = adapted(&spec(lora()), &device, true);
    let planted = [0, 6, 3, 9];
    for index in planted {
        stack = with_b(stack, index, vec![3.0; RANK * D]);
    }
    let found = scored(
        &report.sites,
        &measured(&stack, OutputNorm::Squared, &device),
    );
    for budget in [Budget::Threshold(0.9), Budget::Parameters(0.6)] {
        let plan = plan(&found, Scope::PerType, budget);
        let own: Vec<usize> = (0..2 * LAYERS)
            .filter(|i| plan.sites[*i].shares.is_none())
            .collect();
        // The first of those that share holds the pair: layers.1.query and layers.0.value.
        assert_eq!(own, [0, 1, 2, 3, 6, 9], "{budget:?}");
        assert_eq!(plan.private(), 4);
        assert_eq!(plan.parameters_after, 6 * RANK * 2 * D);
        assert_eq!(plan.parameters_before, 10 * RANK * 2 * D);
        let sum: f64 = plan
            .sites
            .iter()
            .filter(|s| s.kind == "layers.*.query")
            .map(|s| s.importance)
            .sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }
}

#[test]
fn degenerate_scores_and_budgets_have_a_plan() {
    let five = [
        ("l.0.q", 5.0),
        ("l.1.q", 0.0),
        ("l.2.q", 1.0),
        ("l.3.q", 0.5),
        ("l.4.v", 2.0),
    ];
    let of = |budget| sharing_sites(&plan(&scores(&five), Scope::PerType, budget));
    assert_eq!(
        of(Budget::Threshold(1.0)),
        Vec::<String>::new(),
        "one alone shares with nobody"
    );
    assert_eq!(of(Budget::Threshold(0.0)), ["l.1.q", "l.2.q", "l.3.q"]);
    assert_eq!(
        of(Budget::Threshold(1e-9)),
        ["l.2.q", "l.3.q"],
        "the most important stays, of a type with one member too"
    );
    assert_eq!(
        of(Budget::Parameters(0.0)),
        ["l.1.q", "l.2.q", "l.3.q"],
        "the least that can be"
    );
    assert_eq!(of(Budget::Parameters(1.0)), Vec::<String>::new());
    // Nothing is known while every B is zero: all stay.
    let zero = scores(&[
        ("l.0.q", 0.0),
        ("l.1.q", 0.0),
        ("l.0.v", 1.0),
        ("l.1.v", 0.1),
        ("l.2.v", 0.1),
    ]);
    let kept = plan(&zero, Scope::PerType, Budget::Threshold(0.5));
    assert_eq!(sharing_sites(&kept), ["l.2.v"]);
    let one = plan(
        &scores(&[("l.0.q", 1.0)]),
        Scope::Global,
        Budget::Threshold(0.0),
    );
    assert_eq!((one.parameters_after, one.private()), (20, 1));
}

#[test]
fn what_cannot_be_planned_is_refused() {
    let five = [("l.0.q", 5.0), ("l.1.q", 0.0)];
    let error = |scores: &[SiteScore], budget| {
        Plan::make(
            scores,
            ScoreKind::Random,
            Scope::Global,
            budget,
            Scaling::Standard,
        )
        .unwrap_err()
    };
    assert!(matches!(
        error(&[], Budget::Threshold(0.5)),
        PlanError::Empty
    ));
    assert!(matches!(
        error(&scores(&five), Budget::Threshold(1.5)),
        PlanError::Budget { .. }
    ));
    assert!(matches!(
        error(&scores(&[("l.0.q", f64::NAN)]), Budget::Threshold(0.5)),
        PlanError::Score { .. }
    ));
}

#[test]
fn sites_of_other_sizes_or_ranks_do_not_share() {
    let mut mixed = scores(&[
        ("l.0.q", 0.1),
        ("l.1.q", 0.1),
        ("l.2.q", 0.1),
        ("l.3.q", 9.0),
    ]);
    mixed[1].site.rank = 3;
    let plan = plan(&mixed, Scope::PerType, Budget::Threshold(0.5));
    assert_eq!(
        plan.shared(),
        IndexMap::from([("l.2.q".to_owned(), "l.0.q".to_owned())])
    );
}

#[test]
fn random_scores_follow_from_the_seed() {
    let sites: Vec<AttachedSite> = (0..4).map(|i| site(&format!("l.{i}.q"))).collect();
    assert_eq!(random_scores(&sites, 3), random_scores(&sites, 3));
    assert_ne!(random_scores(&sites, 3), random_scores(&sites, 4));
}

#[test]
fn a_plan_is_a_file_that_is_checked_when_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plan.json");
    let five = [
        ("l.0.q", 5.0),
        ("l.1.q", 0.2),
        ("l.2.q", 0.3),
        ("l.3.q", 0.5),
        ("l.4.v", 2.0),
    ];
    let plan = plan(&scores(&five), Scope::PerType, Budget::Threshold(0.8));
    plan.write(&path).unwrap();
    assert_eq!(Plan::read(&path).unwrap(), plan);
    let text = std::fs::read_to_string(&path).unwrap();
    let refused = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        Plan::read(&path).unwrap_err().to_string()
    };
    assert!(refused("\"version\": 1", "\"version\": 2").contains("version 1, found 2"));
    assert!(refused("\"shares\": \"l.1.q\"", "\"shares\": \"l.9.q\"").contains("l.9.q"));
    assert!(refused("\"path\": \"l.3.q\"", "\"path\": \"l.0.q\"").contains("twice"));
    assert!(refused("\"budget\"", "\"budgie\"").contains("budgie"));
    std::fs::write(&path, "[").unwrap();
    assert!(matches!(
        Plan::read(&path),
        Err(PlanError::Malformed { .. })
    ));
    assert!(Plan::read(&dir.path().join("nowhere")).is_err());
}
