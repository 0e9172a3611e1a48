#!/usr/bin/env bash
# Checks a device in minutes: kernels against f64, contracts of all methods, then a step's time and memory beside Hugging Face PEFT.
#
#   cargo xtask device-check --device cuda          # here: builds target/device-check/cuda.tar.xz
#   tar xf cuda.tar.xz && OUT=out ./check.sh cuda   # there; needs Python with torch, transformers and peft for the models and their times
#
# `./check.sh wgpu reduced` does the same with small shapes. A part that fails or takes too long is written down and the next one begins.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
device=${1:?"which device: cuda, wgpu, flex"}
size=${2:-full}
out=${OUT:-$here/out}
python=${PYTHON:-python3}
mkdir -p "$out/models"
summary=$out/summary.txt
: > "$summary"

say() { echo "$*" | tee -a "$summary"; }

# part NAME SECONDS COMMAND..: what it prints goes to NAME.log and NAME.err, how it ended to the summary.
part() {
    local name=$1 limit=$2 began=$SECONDS status=0
    shift 2
    timeout --kill-after=5 "$limit" "$@" > "$out/$name.log" 2> "$out/$name.err" || status=$?
    say "$(printf '%-40s %-12s %4d s' "$name" "$([ $status = 0 ] && echo passed || echo "ended $status")" $((SECONDS - began)))"
    grep -hE '^test result|^test .* FAILED|panicked at|^error' "$out/$name.log" "$out/$name.err" | head -20 | sed 's/^/    /' | tee -a "$summary"
}

# What kernels are compiled with is found where a Python package of CUDA brings it, if not on the system.
if [ "$device" = cuda ]; then
    nvrtc=$(find / -name 'libnvrtc.so.*' -not -path '*/proc/*' 2>/dev/null | head -1)
    headers=$(find / -name 'cuda_fp16.h' -not -path '*/proc/*' 2>/dev/null | head -1)
    [ -n "$nvrtc" ] && export LD_LIBRARY_PATH="$(dirname "$nvrtc"):${LD_LIBRARY_PATH:-}"
    [ -n "$headers" ] && export CUDA_PATH=${CUDA_PATH:-$(dirname "$(dirname "$headers")")}
    say "NVRTC ${nvrtc:-not found}, headers ${headers:-not found}"
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>&1 | tee -a "$summary"
fi

export BURN_DEVICE=$device
part devices 60 "$here/peft" devices
for test in "$here"/test-*; do
    # Golden files stay where the tests were built.
    part "$(basename "$test")" 150 "$test" --test-threads 1 --skip golden --skip reference
done

# shape NAME MODEL TASK TARGETS ROWS TOKENS
shape() {
    local name=$1 model=$out/models/$2 task=$3 targets=$4 rows=$5 tokens=$6
    [ -d "$model" ] || part "model-$2" 120 "$python" "$here/random_model.py" "$2" "$model"
    local mode
    for mode in f32 bf16; do
        part "$name.ours.$mode" 90 "$here/peft" bench --json --model "$model" --task "$task" --method lora --rank 8 --targets "$targets" \
            --batch-size "$rows" --max-length "$tokens" --set base_dropout=0.0 --compute "$mode" --device "$device" --steps 5
    done
    for mode in f32 bf16; do
        part "$name.theirs.$mode" 90 "$python" "$here/step_time.py" --model "$model" --task "$task" --method lora --rank 8 --targets "$targets" \
            --rows "$rows" --tokens "$tokens" --steps 5 --threads "$(nproc)" --compute "$mode" --device "$([ "$device" = cuda ] && echo cuda || echo cpu)"
    done
}

if [ "$size" = reduced ]; then
    shape minilm minilm seq-cls query,value 4 16
    shape llama llama-tiny causal-lm all-linear 2 32
else
    shape minilm minilm seq-cls query,value 64 128
    shape llama llama-1b causal-lm all-linear 8 1024
fi
"$python" "$here/table.py" "$out" | tee -a "$summary"
rm -rf "$out/models"
