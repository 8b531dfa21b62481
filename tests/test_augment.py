"""Augmented data directories: Kaldi's tables, sox's speed, noise of the wanted power, rooms as the image method has them."""

import itertools
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hdnn_nnet.cli import call
from hdnn_nnet.corpus.items import Item
from hdnn_nnet.corpus.noise import babble, mix, pink, recorded, white
from hdnn_nnet.corpus.room import SOUND, Room, draw_room, impulse_response, reverberate
from hdnn_nnet.corpus.speed import change_speed
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.script_table import read_scp

RATE = 8000
TONES = {"ann": 500.0, "bob": 900.0, "cas": 1300.0}


def tone(frequency: float, seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return 0.2 * np.sin(2 * np.pi * frequency * time) + 0.002 * noise


def write(folder: Path, segmented: bool) -> Path:
    """Three speakers, each with a tone of their own: two recordings, in two utterances each if `segmented`."""
    data = folder / ("segmented" if segmented else "whole")
    data.mkdir(parents=True)
    tables: dict[str, dict[str, str]] = {}

    def put(name: str, key: str, value: object) -> None:
        tables.setdefault(name, {})[key] = str(value)

    for speaker, frequency in TONES.items():
        for number in range(2):
            recording, seconds = f"{speaker}-r{number}", 1.3 + 0.1 * number
            path = folder / f"{recording}.wav"
            soundfile.write(path, tone(frequency, seconds, number), RATE, subtype="PCM_16")
            put("wav.scp", recording, path)
            put("reco2dur", recording, seconds)
            put("reco2file_and_channel", recording, f"{recording} A")
            times = [(0.05, 0.615), (0.7, 1.28)] if segmented else [(0, seconds)]
            for part, (start, end) in enumerate(times):
                utt = f"{recording}-{part}" if segmented else recording
                if segmented:
                    put("segments", utt, f"{recording} {start} {end}")
                put("utt2spk", utt, speaker)
                put("text", utt, f"WORD {part}")
                put("utt2dur", utt, end - start)
        put("spk2gender", speaker, "f")
    tables["spk2utt"] = {s: " ".join(u for u in tables["utt2spk"] if u.startswith(s)) for s in TONES}
    for name, table in tables.items():
        (data / name).write_text("".join(f"{key} {value}\n" for key, value in table.items()))
    return data


def augment(source: Path, target: Path, *options: str) -> dict[str, np.ndarray]:
    """Run the command; gives the samples of all recordings."""
    assert call("data augment", [*options, str(source), str(target)]) == 0
    return {key: soundfile.read(path)[0] for key, path in read_scp(target / "wav.scp").items()}


def files(data: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in data.iterdir() if path.is_file()}


@pytest.mark.kaldi
@pytest.mark.parametrize("segmented", [True, False])
def test_tables_of_kaldi(segmented: bool, kaldi_root: Path, tmp_path: Path) -> None:
    if shutil.which("sox") is None:
        pytest.skip("perturb_data_dir_speed.sh needs sox")
    source = write(tmp_path, segmented)
    for name in ("utils", "steps"):
        (tmp_path / name).symlink_to(kaldi_root / "egs/wsj/s5" / name)
    (tmp_path / "path.sh").write_text(f"export LC_ALL=C PATH={kaldi_root}/src/featbin:$PWD/utils:$PATH\n")
    command = ["utils/data/perturb_data_dir_speed_3way.sh", str(source), "theirs"]
    done = subprocess.run(
        ["bash", "-c", '. ./path.sh; "$@"', "-", *command], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    audio = augment(source, tmp_path / "ours", "--speeds=0.9,1.0,1.1")
    theirs, ours = files(tmp_path / "theirs"), files(tmp_path / "ours")
    pipes = read_scp(tmp_path / "theirs/wav.scp")
    assert list(pipes) == list(audio)
    compared = theirs.keys() - {"wav.scp"}
    assert compared >= {"utt2spk", "spk2utt", "utt2uniq", "utt2dur", "reco2dur", "text", "spk2gender"}
    assert {name: ours[name] for name in compared} == {name: theirs[name] for name in compared}
    assert ("segments" in compared) == segmented
    for key, pipe in pipes.items():  # and the sound is that of sox, but for its dither
        if not pipe.endswith("|"):
            continue
        subprocess.run(["bash", "-c", pipe.rstrip("|") + f"> {tmp_path}/sox.wav"], check=True, capture_output=True)
        wanted = soundfile.read(tmp_path / "sox.wav")[0]
        assert abs(len(wanted) - len(audio[key])) <= 1
        count = min(len(wanted), len(audio[key]))
        assert np.abs(wanted[50 : count - 50] - audio[key][50 : count - 50]).std() < 0.003


@pytest.mark.parametrize("factor", [0.9, 1.1, 0.95, 1.25, 0.5])
def test_speed(factor: float) -> None:
    """A tone rises by the factor; level and length follow."""
    changed = change_speed(tone(1000, 1.0)[:, None], factor)
    assert changed.shape == (round(RATE / factor), 1)
    spectrum = np.abs(np.fft.rfft(changed[:, 0] * np.hanning(len(changed))))
    assert np.argmax(spectrum) * RATE / len(changed) == pytest.approx(1000 * factor, abs=1.5 * RATE / len(changed))
    time = np.arange(len(changed)) / RATE
    inner = slice(200, -200)
    wanted = 0.2 * np.sin(2 * np.pi * 1000 * factor * time)
    assert np.abs(changed[inner, 0] - wanted[inner]).std() < 0.006


def test_copies_are_wavs_beside_originals_as_they_are(tmp_path: Path) -> None:
    source = write(tmp_path, segmented=True)
    options = ["--speeds=0.9", "--noise-copies=2", "--reverb-copies=1"]
    audio = augment(source, tmp_path / "all", *options)
    uniq = read_scp(tmp_path / "all/utt2uniq")
    prefixes = ("", "noise1-", "noise2-", "reverb1-", "sp0.9-")
    utts = list(read_scp(source / "utt2spk"))
    assert list(uniq.items()) == sorted((p + u, u) for p in prefixes for u in utts)
    segments, text = (read_scp(tmp_path / "all" / name) for name in ("segments", "text"))
    for utt in utts:
        recording, start, end = read_scp(source / "segments")[utt].split()
        assert segments[f"noise2-{utt}"] == f"noise2-{recording} {start} {end}"
        assert segments[f"sp0.9-{utt}"] == f"sp0.9-{recording} {float(start) / 0.9:.2f} {float(end) / 0.9:.2f}"
        assert len({text[p + utt] for p in prefixes}) == 1
    for recording, path in read_scp(source / "wav.scp").items():
        assert read_scp(tmp_path / "all/wav.scp")[recording] == path
        clean = audio[recording]
        for prefix in ("noise1-", "noise2-", "reverb1-"):
            copy = audio[prefix + recording]
            assert len(copy) == len(clean)
            assert 1e-3 < np.abs(copy - clean).std() < 0.3
        assert len(audio[f"sp0.9-{recording}"]) == round(len(clean) / 0.9)
    assert not np.array_equal(audio["noise1-ann-r0"], audio["noise2-ann-r0"])
    augment(source, tmp_path / "alone", *options, "--originals=false")
    assert list(read_scp(tmp_path / "alone/utt2uniq")) == [u for u in uniq if u not in utts]
    # Copies of copies: utt2uniq names the first original.
    augment(tmp_path / "alone", tmp_path / "again", "--speeds=1.1", "--originals=false")
    assert read_scp(tmp_path / "again/utt2uniq")["sp1.1-noise1-ann-r0-0"] == "ann-r0-0"


def test_the_same_bits_however_it_is_run(tmp_path: Path) -> None:
    source = write(tmp_path, segmented=False)
    options = ["--speeds=1.1", "--noise-copies=1", "--reverb-copies=1", "--rooms=3"]
    first = augment(source, tmp_path / "one", *options, "--nj=1")
    other = augment(source, tmp_path / "three", *options, "--nj=3")
    assert all(np.array_equal(first[key], other[key]) for key in first)
    assert files(tmp_path / "one") == {
        name: text.replace("/three/", "/one/") for name, text in files(tmp_path / "three").items()
    }
    wavs = {path: path.stat().st_mtime_ns for path in (tmp_path / "one/wav").iterdir()}
    lost = sorted(wavs)[::2]
    for path in lost:
        path.unlink()
    again = augment(source, tmp_path / "one", *options)
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert [p for p, time in wavs.items() if p.stat().st_mtime_ns != time] == [p for p in wavs if p in lost]
    reseeded = augment(source, tmp_path / "one", *options, "--seed=1")
    assert np.array_equal(first["sp1.1-bob-r1"], reseeded["sp1.1-bob-r1"])
    assert not np.array_equal(first["noise1-bob-r1"], reseeded["noise1-bob-r1"])
    soundfile.write(tmp_path / "bob-r1.wav", tone(700, 1.4), RATE, subtype="PCM_16")  # the same names, another sound
    changed = augment(source, tmp_path / "one", *options, "--seed=1")
    assert not np.array_equal(changed["sp1.1-bob-r1"], reseeded["sp1.1-bob-r1"])
    assert np.array_equal(changed["sp1.1-bob-r0"], reseeded["sp1.1-bob-r0"])
    augment(source, tmp_path / "one", "--speeds=1.1")
    assert {p.name.partition("-")[0] for p in (tmp_path / "one/wav").iterdir()} == {"sp1.1"}


@pytest.mark.parametrize("snr", [0.0, 10.0, 20.0])
def test_snr_is_that_of_the_spoken_parts(snr: float, tmp_path: Path) -> None:
    source = write(tmp_path, segmented=True)
    for recording, path in read_scp(source / "wav.scp").items():  # silence around the utterances does not count
        samples = soundfile.read(path)[0]
        samples[: int(0.05 * RATE)] = samples[int(0.63 * RATE) : int(0.69 * RATE)] = 0
        soundfile.write(path, np.concatenate([samples, np.zeros(8 * RATE)]), RATE, subtype="PCM_16")
        assert recording
    audio = augment(source, tmp_path / "noisy", "--noise-copies=1", f"--snrs={snr}", "--noise=pink,white")
    for recording in read_scp(source / "wav.scp"):
        clean, noise = audio[recording], audio[f"noise1-{recording}"] - audio[recording]
        spoken = np.r_[int(0.05 * RATE) : int(0.615 * RATE), int(0.7 * RATE) : int(1.28 * RATE)]
        measured = 10 * np.log10(np.mean(clean[spoken] ** 2) / np.mean(noise[spoken] ** 2))
        assert measured == pytest.approx(snr, abs=0.05)


def level(noise: np.ndarray, low: float, high: float, rate: int) -> float:
    """Decibels in a band."""
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequency = np.fft.rfftfreq(len(noise), 1 / rate)
    return 10 * np.log10(power[(frequency >= low) & (frequency < high)].sum())


def test_spectra_of_noises() -> None:
    """An octave of white noise has 3 dB more than the one below, of pink noise as much."""
    for make, step in ((white, 3.01), (pink, 0.0)):
        noise = make(np.random.default_rng(2), 160000, 16000, "")
        octaves = [level(noise, 100 * 2**n, 200 * 2**n, 16000) for n in range(6)]
        assert np.diff(octaves) == pytest.approx(step, abs=0.5)


def test_babble_is_of_others_and_noise_of_a_folder_is_that_of_the_folder(tmp_path: Path) -> None:
    source = write(tmp_path, segmented=False)
    paths = read_scp(source / "wav.scp")
    items = [Item(k, k.partition("-")[0], "", path, "", id=k) for k, path in paths.items()]
    rng = np.random.default_rng(0)
    for speaker, own in TONES.items():
        noise = babble(items)(rng, 3 * RATE, RATE, speaker)
        levels = {name: level(noise, f - 5, f + 5, RATE) for name, f in TONES.items()}
        assert max(levels, key=levels.__getitem__) != speaker
        assert levels[speaker] < max(levels.values()) - 15, own
    alone = babble(items[:2])(rng, RATE, RATE, "ann")  # nobody else is there
    assert np.isfinite(alone).all()
    assert alone.std() > 0
    folder = tmp_path / "noises/deep"
    folder.mkdir(parents=True)
    soundfile.write(folder / "hum.flac", tone(250, 0.7, rate=16000), 16000)  # another rate, and shorter than the speech
    for directory in (tmp_path / "noises", source):
        hum = recorded(directory)(rng, 4 * RATE, RATE, "ann")
        assert len(hum) == 4 * RATE
    hum = recorded(tmp_path / "noises")(rng, 4 * RATE, RATE, "ann")
    assert level(hum, 245, 255, RATE) > level(hum, 260, 4000, RATE) + 10
    options = ["--noise-copies=1", f"--noise-dir={tmp_path}/noises", "--snrs=0"]
    for rate, frequency in ((16000, 250), (4000, 700), (RATE, 2100)):  # other noise of the same name is noticed
        soundfile.write(folder / "hum.flac", tone(frequency, 0.7, rate=rate), rate)
        noisy = augment(source, tmp_path / "hum", *options)["noise1-cas-r0"]
        assert level(noisy, frequency - 10, frequency + 10, RATE) > level(noisy, 400, 600, RATE) + 10
    soundfile.write(folder / "two.wav", tone(3000, 9, rate=RATE), RATE)  # and one more
    copies = augment(source, tmp_path / "hum", *options)
    assert any(level(copy, 2990, 3010, RATE) > level(copy, 400, 600, RATE) for copy in copies.values())


def test_silence_gets_no_noise() -> None:
    """A power of nothing has no ratio to anything."""
    noise = np.ones(9)
    assert not mix(np.zeros((9, 1)), noise, 10, [slice(0, 9)]).any()
    assert (mix(np.ones((9, 1)), 0 * noise, 10, [slice(0, 9)]) == 1).all()


def reflected(room: Room, order: int) -> dict[int, float]:
    """Sample at 8 kHz -> amplitude, by mirroring the source at one wall after the other, up to `order` reflections."""
    images = {tuple(np.round(room.source, 6)): 0}
    newest = dict(images)
    for count in range(1, order + 1):
        found = {}
        for place in newest:
            for axis, wall in itertools.product(range(3), (0, 1)):
                mirrored = list(place)
                mirrored[axis] = 2 * wall * room.size[axis] - mirrored[axis]
                key = tuple(np.round(mirrored, 6))
                if key not in images:
                    found[key] = count
        images |= found
        newest = found
    response: dict[int, float] = {}
    direct = float(np.linalg.norm(np.subtract(room.source, room.microphone)))
    for place, count in images.items():
        distance = float(np.linalg.norm(np.subtract(place, room.microphone)))
        sample = round((distance - direct) / SOUND * RATE)
        response[sample] = response.get(sample, 0.0) + direct / distance * room.reflection**count
    return response


def test_impulse_response_is_that_of_mirrored_walls() -> None:
    room = Room((4.1, 3.3, 2.7), (1.2, 2.5, 1.1), (3.0, 0.9, 1.6), 0.4)
    ours = impulse_response(room, RATE)
    assert ours[0] == pytest.approx(1.0)
    theirs = reflected(room, 9)
    # The shortest way of ten reflections is longer than that.
    complete = int(11.0 / SOUND * RATE)
    wanted = np.array([theirs.get(sample, 0.0) for sample in range(complete)])
    assert np.abs(ours[:complete] - wanted).max() < 1e-6
    assert np.count_nonzero(wanted) > 100


@pytest.mark.parametrize("number", range(4))
def test_energy_decays_in_the_time_that_is_asked_for(number: int) -> None:
    """Schroeder's backward integration from -5 to -25 dB; in flat boxes, level ways decay up to half as fast as Eyring says."""
    room = draw_room(np.random.default_rng(number), 0.5)
    assert 0.1 <= room.t60 <= 0.5
    response = impulse_response(room, 16000)
    assert len(response) == int(room.t60 * 16000) + 1
    decay = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1] / np.sum(response**2))
    first, last = np.argmax(decay < -5), np.argmax(decay < -25)
    t60 = 3 * (last - first) / 16000
    assert 0.6 * room.t60 < t60 < 2 * room.t60


def test_reverberated_speech_is_as_long_and_as_loud_and_not_late() -> None:
    rng = np.random.default_rng(0)
    speech = np.concatenate([np.zeros((800, 2)), rng.standard_normal((800, 2)), np.zeros((2400, 2))]) * 0.1
    response = impulse_response(draw_room(rng, 0.3), RATE)
    heard = reverberate(speech, response, RATE)
    assert heard.shape == speech.shape
    assert np.mean(heard**2) == pytest.approx(np.mean(speech**2))
    assert np.abs(heard[:795]).max() < 1e-9
    lags = np.correlate(heard[:, 0], speech[:, 0], "full")
    assert abs(int(np.argmax(lags)) - (len(speech) - 1)) <= 1
    assert np.abs(heard[1700:2000]).max() > 1e-4
    assert not reverberate(0 * speech, response, RATE).any()


def test_features_of_copies(tmp_path: Path) -> None:
    """Copies with noise or reverberation have the frames of their originals, so that these's alignments fit."""
    source = write(tmp_path, segmented=True)
    augment(source, tmp_path / "all", "--speeds=0.9,1.1", "--noise-copies=1", "--reverb-copies=1", "--rooms=2")
    prefix = str(tmp_path / "raw")
    assert call("feats make", ["--sample-frequency=8000", str(tmp_path / "all"), prefix]) == 0
    frames = {u: int(n) for u, n in read_scp(f"{prefix}.1.utt2num_frames").items()}
    assert len(frames) == 5 * 12
    for utt in read_scp(source / "utt2spk"):
        assert frames[f"noise1-{utt}"] == frames[f"reverb1-{utt}"] == frames[utt]
        for speed in (0.9, 1.1):
            assert abs(frames[f"sp{speed}-{utt}"] - frames[utt] / speed) <= 2


def test_pipes_several_channels_and_odd_names(tmp_path: Path) -> None:
    """A recording with two channels is copied with both; segments keep their channel and an open end."""
    data = tmp_path / "data"
    data.mkdir()
    both = np.stack([tone(500, 1), tone(900, 1)], 1)
    soundfile.write(tmp_path / "a.wav", both, RATE, subtype="PCM_16")
    (data / "wav.scp").write_text(f"r/1 cat {tmp_path}/a.wav |\n")
    (data / "segments").write_text("a-1 r/1 0.1 0.9 0\nb-1 r/1 0.2 -1 1\nb-2 r/1 0.5 0.508 1\n")
    (data / "utt2spk").write_text("a-1 a\nb-1 b\nb-2 b\n")
    (data / "text").write_text("a-1 HI\nb-1 HO\nb-2 HA\n")
    options = ["--speeds=1.25", "--noise-copies=1", "--originals=false"]
    audio = augment(data, tmp_path / "copies", *options)
    assert {key: samples.shape for key, samples in audio.items()} == {"sp1.25-r/1": (6400, 2), "noise1-r/1": (8000, 2)}
    assert read_scp(tmp_path / "copies/segments") == {
        "noise1-a-1": "noise1-r/1 0.1 0.9 0",
        "noise1-b-1": "noise1-r/1 0.2 -1 1",
        "noise1-b-2": "noise1-r/1 0.5 0.508 1",
        "sp1.25-a-1": "sp1.25-r/1 0.08 0.72 0",
        "sp1.25-b-1": "sp1.25-r/1 0.16 -1 1",
    }
    assert "sp1.25-b-2" not in read_scp(tmp_path / "copies/utt2spk")  # under 10 ms, as in Kaldi


def refuse(message: str, *arguments: str) -> None:
    with pytest.raises(HdnnError, match=message):
        call("data augment", list(arguments))


def test_refusals(tmp_path: Path) -> None:
    source, target = str(write(tmp_path, segmented=False)), str(tmp_path / "out")
    refuse("no copies are asked for", source, target)
    refuse("no copies are asked for", "--speeds=1.0", source, target)
    refuse("at least 0.5", "--speeds=0.1", source, target)
    refuse("--noise must be of", "--noise-copies=1", "--noise=brown", source, target)
    refuse("needs --snrs", "--noise-copies=1", "--snrs=", source, target)
    refuse("made from itself", "--speeds=0.9", source, source)
    refuse("path with spaces", "--speeds=0.9", source, f"{target} more")
    (tmp_path / "empty").mkdir()
    refuse("neither a wav.scp nor sound", "--noise-copies=1", f"--noise-dir={tmp_path}/empty", source, target)
    soundfile.write(tmp_path / "empty/zero.wav", np.zeros(900), RATE)
    refuse(
        "zero.wav holds nothing but digital silence",
        "--noise-copies=1",
        f"--noise-dir={tmp_path}/empty",
        source,
        target,
    )
    shutil.rmtree(target)
    augment(Path(source), tmp_path / "sp", "--speeds=0.9")
    refuse("already", "--speeds=0.9", str(tmp_path / "sp"), target)
    other = write(tmp_path / "other", segmented=False)
    before = files(other)
    refuse("made some other way", "--speeds=0.9", source, str(other))
    assert files(other) == before
    durations = Path(source, "utt2dur").read_text()
    Path(source, "utt2dur").write_text("ann-r0 long\n")
    refuse("no duration", "--speeds=0.9", source, target)
    Path(source, "utt2dur").write_text(durations)
    with open(tmp_path / "bob-r0.wav", "r+b") as file:
        file.truncate(3000)
    refuse(r"bob-r0\.wav .*truncated", "--speeds=0.9", source, target)
    assert not Path(target, "utt2spk").exists()
    os.remove(tmp_path / "bob-r0.wav")
    refuse(r"bob-r0\.wav", "--speeds=0.9", source, target)
    Path(source, "wav.scp").write_text("")
    refuse("ann-r0", "--speeds=0.9", source, target)
