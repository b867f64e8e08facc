"""The heart: settings, oscillator, flashes on rendered frames, SVG and APNG."""

import base64
import dataclasses
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facelab.core.errors import BadInputError, CheckFailedError
from facelab.feedback import Heart, heart

OWN = heart.load_settings()


def with_style(**changes):
    style = dataclasses.replace(OWN.styles["anger"], **changes)
    return dataclasses.replace(OWN, styles={**OWN.styles, "anger": style})


# ---------------------------------------------------------------- settings
def test_the_settings_are_those_of_the_issue():
    found = {k: (s.frequency_hz, s.hue_deg, s.amplitude) for k, s in OWN.styles.items()}
    assert found == {"anger": (2, 0, 0.3), "neutral": (1.2, 120, 0.15), "joy": (0.8, 60, 0.25)}
    assert OWN.style("sadness") == OWN.style(None) == OWN.style("neutral")


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("frequency_hz = 2.0", "frequency_hz = 0", "emotion.anger.frequency_hz"),
        ("frequency_hz = 2.0", "frequency_hz = nan", "emotion.anger.frequency_hz"),
        ("frequency_hz = 2.0", 'frequency_hz = "2"', "emotion.anger.frequency_hz"),
        ("frequency_hz = 2.0", "frequency_hz = true", "emotion.anger.frequency_hz"),
        ("frequency_hz = 2.0", "frequenzy_hz = 2.0", "did you mean 'frequency_hz'"),
        ("hue_deg = 0 ", "hue_deg = 400 ", "emotion.anger.hue_deg"),
        ('fallback = "neutral"', 'fallback = "calm"', "fallback"),
        ("facelab.heart/1", "facelab.heart/2", "schema"),
        ("ease_s = 0.25", "ease_s = -1", "ease_s"),
        ("[emotion.anger]", "[emotion.anger", "TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(tmp_path, before, after, says):
    text = heart.DEFAULT.read_text()
    assert before in text
    path = tmp_path / "my.toml"
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(BadInputError) as e:
        heart.load_settings(path)
    assert says in str(e.value) and "my.toml" in str(e.value) and e.value.fix


# ---------------------------------------------------------------- oscillator
def test_anger_beats_twice_a_second_and_swings_both_ways():
    one = Heart(emotion="anger")
    scale = np.array([one.step(1 / 240).scale for _ in range(240 * 4)])
    assert scale.max() == pytest.approx(1.3, abs=1e-3)
    assert scale.min() == pytest.approx(0.7, abs=1e-3)
    ups = ((scale[1:] > 1.1) & (scale[:-1] <= 1.1)).sum()
    assert ups == 8


@pytest.mark.parametrize("formula", ["eased", "literal"])
def test_only_the_literal_formula_jumps_where_the_emotion_changes(formula):
    times = np.arange(0, 12, 1.7)
    labels = [("anger", "neutral", "joy")[k % 3] for k in range(len(times))]
    shown = heart.animate(times, labels, rate_hz=60, formula=formula)
    steps = np.abs(np.diff([p.scale for p in shown.poses]))
    fastest = 0.3 * 2 * np.pi * 2.0 / 60  # amplitude times angular frequency of anger, per frame
    assert (steps.max() <= fastest * 1.1) == (formula == "eased"), steps.max()


def test_the_step_does_not_matter():
    """One second in 10, 60 or 240 steps: the same pose, to a hundredth."""
    found = []
    for n in (10, 60, 240):
        one = Heart(emotion="neutral")
        one.step(0.5)
        one.show("anger")
        for _ in range(n):
            pose = one.step(1 / n)
        found.append((pose.scale, pose.hue_deg, pose.phase))
    assert np.ptp(np.array(found), axis=0).max() < 0.01


def test_a_hidden_tab_is_not_replayed_and_a_wrong_step_is_refused():
    one = Heart(emotion="joy")
    assert one.step(3600.0).phase == pytest.approx(0.8)  # as after one second
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(BadInputError):
            one.step(wrong)


def test_the_hue_takes_the_short_way_and_the_beat_stops_meanwhile():
    both = {"a": heart.HeartStyle(1, 350, 0.2), "b": heart.HeartStyle(1, 30, 0.2)}
    one = Heart(heart.HeartSettings(both, "a"))
    one.show("b")
    poses = [one.step(1 / 60) for _ in range(20)]
    assert all(p.hue_deg >= 349 or p.hue_deg <= 31 for p in poses)
    assert poses[6].frequency_hz < 0.1 and poses[-1].hue_deg == pytest.approx(30)


def test_the_newest_emotion_wins_and_none_is_queued():
    one = Heart(emotion="anger")
    one.show("joy")
    one.step(0.1)
    for label in ("neutral", "anger", "neutral", "joy"):  # all within the dwell
        one.show(label)
        one.step(0.1)
    for _ in range(40):
        one.step(0.1)
    assert one.emotion == "joy"


def test_the_curve_is_the_one_of_the_issue():
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    expected = [(16 * np.sin(a) ** 3,
                 13 * np.cos(a) - 5 * np.cos(2 * a) - 2 * np.cos(3 * a) - np.cos(4 * a)) for a in t]  # fmt: skip
    assert np.allclose(heart.curve(64), expected)


# ---------------------------------------------------------------- flashes
def blinking(hz, rate=60.0, seconds=3.0, low=(0, 0, 0), high=(255, 255, 255), size=8):
    t = np.arange(int(rate * seconds)) / rate
    frames = np.empty((len(t), size, size, 3), np.uint8)
    frames[:] = low
    frames[(t * hz) % 1 < 0.5] = high
    return heart.check_flashes(frames, t)


@pytest.mark.parametrize(("hz", "allowed"), [(1, True), (2, True), (2.9, True), (4, False), (10, False)])  # fmt: skip
def test_a_screen_that_blinks_is_counted(hz, allowed):
    found = blinking(hz)
    assert found.passed == allowed
    assert abs(found.general - hz) <= 0.6 and found.share == (0 if allowed else 1)


def test_what_is_not_a_flash_by_the_definition_is_not_counted():
    nearly = blinking(10, low=(100, 100, 100), high=(115, 115, 115))  # 4 % of white apart
    assert nearly.general <= 0.5
    bright = blinking(10, low=(235, 235, 235))  # the darker state is above 0.80
    assert bright.general == 0


def test_red_is_counted_where_luminance_does_not_change():
    """A red and a gray of the same relative luminance: no general flash, but a red one."""
    found = blinking(5, low=(128, 128, 128), high=(255, 12, 12))
    assert found.general == 0 and found.red >= 4.5 and not found.passed
    blue = blinking(5, low=(97, 97, 97), high=(10, 80, 255))
    assert blue.red == 0


def test_a_slow_fade_is_one_change_and_noise_is_none():
    ramp = np.linspace(0, 255, 120).astype(np.uint8)
    frames = np.broadcast_to(ramp[:, None, None, None], (120, 4, 4, 3)).copy()
    assert heart.check_flashes(frames, np.arange(120) / 60).general == 0.5
    rng = np.random.default_rng(0)
    noise = (128 + rng.integers(-6, 7, (120, 8, 8, 3))).astype(np.uint8)
    assert heart.check_flashes(noise, np.arange(120) / 60).general == 0


def test_the_source_texts_anger_of_4_hz_is_refused_and_nothing_is_written(tmp_path):
    literal = heart.animate([0, 3], ["anger"] * 2, formula="literal")
    found = literal.flashes()
    assert found.general == 4 and found.red == 4 and not found.passed
    with pytest.raises(CheckFailedError, match="flashes too often"):
        literal.save(tmp_path / "anger.svg")
    assert list(tmp_path.iterdir()) == []


def test_the_hearts_own_settings_pass_and_fast_ones_are_named():
    assert heart.check_settings(OWN).passed
    with pytest.raises(CheckFailedError) as e:
        heart.check_settings(with_style(frequency_hz=3.5))
    assert "emotion anger" in e.value.where


LABELS = st.lists(
    st.tuples(st.sampled_from(["anger", "joy", "neutral", None]), st.floats(0.03, 1.6)),
    min_size=4,
    max_size=20,
)


def eased(steps):
    """Check on rendered frames, on white and on black."""
    times = np.cumsum([0.0, *(s for _, s in steps)])[:-1]
    return heart.animate(times, [label for label, _ in steps]).flashes(40)


@settings(max_examples=6)
@given(LABELS)
def test_no_flicker_of_labels_makes_the_heart_flash(steps):
    """The property that protects people; the slow lane draws more."""
    assert eased(steps).passed


@pytest.mark.slow
@settings(max_examples=150)
@given(LABELS)
def test_no_flicker_of_labels_makes_the_heart_flash_at_length(steps):
    assert eased(steps).passed


def test_frames_and_times_must_fit():
    frames = np.zeros((3, 4, 4, 3), np.uint8)
    for wrong in (np.arange(2.0), np.array([0.0, 0.0, 1.0])):
        with pytest.raises(BadInputError):
            heart.check_flashes(frames, wrong)
    with pytest.raises(BadInputError):
        heart.check_flashes(frames.astype(float), np.arange(3.0))


# ---------------------------------------------------------------- files
def test_the_svg_holds_everything_and_honours_reduced_motion():
    text = heart.beat("joy").svg(200)
    tree = ElementTree.fromstring(text)
    assert tree.get("width") == "200"
    assert not re.search(r"<script|href|url\(|@import", text)
    assert "prefers-reduced-motion: reduce" in text
    scales = [float(s) for s in re.findall(r"scale\(([\d.]+)\)", text)]
    assert max(scales) == pytest.approx(1.25, abs=5e-3) and min(scales) < 0.76
    assert scales[0] == scales[-1]  # a loop without a jump


def test_the_apng_plays_the_same_frames(tmp_path):
    shown = heart.beat("neutral")
    path = shown.save(tmp_path / "heart.png", 64)
    with Image.open(path) as picture:
        assert picture.n_frames == len(shown.poses)
        total = 0
        rendered = shown.frames(64)
        for k in range(picture.n_frames):
            picture.seek(k)
            total += picture.info["duration"]
            assert np.array_equal(np.asarray(picture.convert("RGB")), rendered[k])
    assert total == pytest.approx(1000 * shown.seconds, abs=1)


def test_a_notebook_shows_it_and_another_suffix_is_refused(tmp_path):
    shown = heart.beat("joy")
    data = re.search(r"base64,([^\"]+)", shown._repr_html_())[1]
    assert base64.b64decode(data).startswith(b"<svg")
    with pytest.raises(BadInputError, match="format"):
        shown.save(tmp_path / "heart.gif")


def test_the_drawn_heart_is_as_large_as_its_pose():
    one = heart.beat("anger")
    green = one.frames(200)[..., 1].astype(
        float
    )  # 255 outside, 13 inside: an edge counts as its share
    sizes = ((255 - green) / (255 - 13)).sum(axis=(1, 2))
    scales = np.array([p.scale for p in one.poses])
    area = np.pi * 180 * (200 / 46) ** 2  # the area inside the curve is 180 π
    assert np.allclose(sizes, area * scales**2, rtol=0.04)


def test_pictures_stay_inside_their_frame():
    one = heart.beat("anger", rate_hz=60).frames(96)
    edges = np.concatenate([one[:, 0], one[:, -1], one[:, :, 0], one[:, :, -1]], axis=1)
    assert (edges == 255).all()


def test_png_bytes_are_an_animated_png():
    assert b"acTL" in heart.beat("joy").apng(32)
    with Image.open(io.BytesIO(heart.beat("joy").apng(32))) as picture:
        assert picture.format == "PNG"


def test_a_long_animation_needs_little_memory_and_a_longer_one_is_refused():
    import resource

    shown = heart.animate([0.0, 25.0], ["joy"] * 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert shown.flashes().passed
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250 << 10  # kilobytes
    with pytest.raises(BadInputError, match="too long") as e:
        heart.animate([0.0, 3600.0], ["joy"] * 2)
    assert e.value.fix
