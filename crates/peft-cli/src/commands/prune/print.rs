//! Plans as tables on the terminal.

use std::collections::BTreeMap;

use peft_prune::{Budget, Plan, PlannedSite};

use peft_prune::Measured;

/// The importance of every layer by type, then what each budget costs.
pub(super) fn print(measured: &Measured, plans: &[Plan]) {
    let Some(first) = plans.first() else {
        return;
    };
    if measured.examples > 0 {
        println!(
            "measured on {} examples in {:.1} s",
            measured.examples, measured.seconds
        );
    }
    let mut types: BTreeMap<&str, Vec<&PlannedSite>> = BTreeMap::new();
    for site in &first.sites {
        types.entry(&site.kind).or_default().push(site);
    }
    let mark = |site: &PlannedSite| {
        if plans.len() > 1 || !first.is_private(site) {
            ""
        } else {
            "*"
        }
    };
    for (kind, sites) in types {
        println!("{kind}");
        let shares: Vec<String> = sites
            .iter()
            .map(|site| format!("{:.1}{}", 100.0 * site.importance, mark(site)))
            .collect();
        println!("  importance in %: {}", shares.join("  "));
    }
    if plans.len() == 1 {
        println!("(* has a pair of its own; the others of a type share one)");
    }
    println!("{:<16}  own pairs  groups  parameters  share", "budget");
    for plan in plans {
        let budget = match plan.budget {
            Budget::Threshold(threshold) => format!("threshold {threshold}"),
            Budget::Parameters(share) => format!("keep {:.0} %", 100.0 * share),
        };
        let groups: std::collections::BTreeSet<_> = plan
            .sites
            .iter()
            .filter_map(|site| site.shares.as_ref())
            .collect();
        let share = 100.0 * plan.parameters_after as f64 / plan.parameters_before.max(1) as f64;
        println!(
            "{budget:<16}  {:>9}  {:>6}  {:>10}  {share:>4.1} %",
            plan.private(),
            groups.len(),
            plan.parameters_after
        );
    }
    println!(
        "{:<16}  {:>9}  {:>6}  {:>10}  100 %",
        "all",
        first.sites.len(),
        0,
        first.parameters_before
    );
}
