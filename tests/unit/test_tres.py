from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.core import tres

NAMES = st.sampled_from(["cpu", "mem", "node", "billing", "gres/gpu", "gres/gpu:a100", "license/matlab"])


def test_reads_what_slurm_prints():
    assert tres.parse_tres("cpu=4,mem=16G,gres/gpu=1") == {"cpu": 4, "gres/gpu": 1, "mem": 16384}
    assert tres.parse_tres({"CPU": 4, "Mem": "512M", "GRES/gpu": "1"}) == {"cpu": 4, "gres/gpu": 1, "mem": 512}
    assert tres.parse_tres("cpu=-1,node=2") == {"node": 2}
    assert tres.parse_tres("") == {}


def test_memory_weight_is_per_mib_unless_suffixed():
    # algorithms.md 1.4: Mem=.25 is per MB, Mem=.25G per GB, so 8 GB cost 2048 against 2
    assert tres.parse_tres_weights("Mem=.25")["mem"] * 8192 == 2048
    assert tres.parse_tres_weights("Mem=.25G")["mem"] * 8192 == 2
    assert tres.parse_tres_weights("CPU=1.0,GRES/gpu=8") == {"cpu": 1.0, "gres/gpu": 8.0}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cpus=4", "did you mean 'cpu'"),
        ("gpu=1", "did you mean 'gres/gpu'"),
        ("cpu=4,CPU=5", "given twice"),
        ("cpu", "NAME=NUMBER"),
        ("cpu=", "NAME=NUMBER"),
        ("cpu=4.5", "whole number"),
        ("cpu=-2", "whole number"),
        ("cpu=" + "9" * 400, "whole number"),
        ("mem=lots", "not a memory size"),
        ("mem=99999999P", "too large"),
        ("cpu=٣", "whole number"),
    ],
)
def test_says_what_is_wrong(text, words):
    with pytest.raises(ValueError, match=words):
        tres.parse_tres(text)


@pytest.mark.parametrize("text", ["cpu=-1.0", "cpu=nan", "cpu=inf", "cpu=1e999", "cpu=x", "mem=G", "cpu=1G"])
def test_refuses_bad_weights(text):
    with pytest.raises(ValueError, match="not a number of zero or more"):
        tres.parse_tres_weights(text)


@given(st.dictionaries(NAMES, st.integers(0, 2**40)))
def test_counts_survive_writing(counts):
    assert tres.parse_tres(tres.format_tres(counts)) == counts


@given(st.dictionaries(NAMES, st.floats(0, 1e12)))
def test_weights_survive_writing(weights):
    assert tres.parse_tres_weights(tres.format_tres_weights(weights)) == weights
