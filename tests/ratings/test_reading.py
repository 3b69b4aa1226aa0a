"""Tables of ratings: NISQA, QualiSpeech, any rated folder; what cannot be used is told with row, value and cure."""

from pathlib import Path

import pytest

from auricle.errors import RatingsError
from auricle.ratings.reading import read_ratings, rejected_text

NISQA = (
    "db,con,file,con_description,filename_deg,filename_ref,source,lang,votes,mos,noi,col,dis,loud,"
    "mos_std,noi_std,col_std,dis_std,loud_std,filepath_deg,filepath_ref\n"
)


def table_of(folder: Path, name: str, text: str, files: tuple[str, ...] = ()) -> Path:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"")
    table = folder / name
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(text, encoding="utf-8")
    return table


def test_nisqa_at_the_corpus_root_and_in_a_databases_folder(tmp_path: Path) -> None:
    deg, ref = "NISQA_VAL_SIM/deg/c1.wav", "NISQA_VAL_SIM/ref/r1.wav"
    row = f"NISQA_VAL_SIM,7,1,Opus,c1.wav,r1.wav,AusTalk,en,5,3.2,4.1,3.0,2.4,4.5,0.7,0.5,0.6,0.9,0.4,{deg},{ref}\n"
    live = "NISQA_TRAIN_LIVE,,2,skype,c2.wav,-,x,de,3,2.0,2.0,2.0,,2.0,,,,,,NISQA_TRAIN_LIVE/deg/c2.wav,\n"
    root = table_of(tmp_path, "NISQA_corpus_file.csv", NISQA + row + live, (deg, ref, "NISQA_TRAIN_LIVE/deg/c2.wav"))
    inside = table_of(tmp_path, "NISQA_VAL_SIM/NISQA_VAL_SIM_file.csv", NISQA + row)
    one, other = read_ratings(root).clips
    assert one.path == tmp_path / deg
    assert one.reference == tmp_path / ref
    assert one.scores == {"mos": 3.2, "noisiness": 4.1, "coloration": 3.0, "discontinuity": 2.4, "loudness": 4.5}
    assert one.spreads["discontinuity"] == 0.9
    assert (one.votes, one.condition, one.split, one.row) == (5, "NISQA_VAL_SIM/7", "dev", 2)
    assert other.reference is None
    assert "discontinuity" not in other.scores
    assert (other.condition, other.split) == ("", "train")
    assert read_ratings(inside).clips[0].path == tmp_path / deg


def test_qualispeech_whatever_its_columns_spelling(tmp_path: Path) -> None:
    header = (
        "Audio Path,Background noise,Distortion,speed,Continuity,Listening_effort,naturalness,Overall,Noise description,Unnatural pause\n"
    )
    table = table_of(tmp_path, "val.csv", header + 'a.wav,4,3,5,2,3,3,2,"Outdoor music noise, 0-3s",None\n', ("wavs/a.wav",))
    ratings = read_ratings(table)
    (clip,) = ratings.clips
    assert ratings.kind == "QualiSpeech"
    assert clip.scores["listening effort"] == 3
    assert clip.scores["mos"] == clip.scores["overall"] == 2
    assert clip.words == {"noise description": "Outdoor music noise, 0-3s"}
    assert clip.split == "dev"


def test_any_rated_folder(tmp_path: Path) -> None:
    text = "file,reference,mos,score_noisiness,mos_std,votes,condition\na.wav,clean.wav,3.5,2,0.8,8,x\nb.wav,,1.0,,,,y\n"
    table = table_of(tmp_path, "ratings.csv", text, ("a.wav", "b.wav", "clean.wav"))
    one, other = read_ratings(table).clips
    assert one.reference == tmp_path / "clean.wav"
    assert (one.scores, one.spreads) == ({"mos": 3.5, "noisiness": 2.0}, {"mos": 0.8})
    assert (other.reference, other.scores) == (None, {"mos": 1.0})


def test_people_rated_the_p835_set(shared_data: Path) -> None:
    ratings = read_ratings(shared_data / "mos_p835" / "ratings.csv", strict=True)
    assert (ratings.kind, len(ratings.clips), ratings.dimensions) == ("folder", 26, ("bak", "sig", "mos"))
    clip = next(clip for clip in ratings.clips if clip.path.name == "c1_f1.wav")
    assert clip.reference is not None
    assert clip.reference.name == "c0_f1.wav"
    assert clip.spreads["mos"] == pytest.approx(0.6416 / 1.96 * 8**0.5)


@pytest.mark.parametrize(
    ("cell", "fault", "told"),
    [
        ("nought", "number", "mos = 'nought'"),
        ("7", "range", "from 1 to 5"),
        ("0", "range", "from 1 to 5"),
        ("inf", "number", "finite"),
        ("", "empty", "no score"),
        ("nan", "empty", "no score"),
    ],
)
def test_bad_rows_are_listed_and_counted_or_refused(tmp_path: Path, cell: str, fault: str, told: str) -> None:
    table = table_of(tmp_path, "r.csv", f"file,mos\na.wav,3.0\nb.wav,{cell}\n", ("a.wav", "b.wav"))
    ratings = read_ratings(table)
    assert [clip.path.name for clip in ratings.clips] == ["a.wav"]
    (bad,) = ratings.rejected
    assert (bad.row, bad.fault) == (3, fault)
    assert told in bad.reason
    assert "1 of 2 rows left out" in rejected_text(ratings)
    with pytest.raises(RatingsError, match="line 3"):
        read_ratings(table, strict=True)


def test_missing_and_repeated_files_are_bad_rows(tmp_path: Path) -> None:
    table = table_of(tmp_path, "r.csv", "file,mos\na.wav,3.0\nb.wav,2.0\na.wav,4.0\n", ("a.wav",))
    assert [bad.fault for bad in read_ratings(table).rejected] == ["missing", "duplicate"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no rows"),
        ("file,mos\n", "no rows"),
        ("name,mos\na.wav,3\n", "expected `file`"),
        ("file,taste\na.wav,3\n", "at least one score"),
        ("file,mos,mos_ovrl\na.wav,3,3\n", "two columns give 'mos'"),
        ("file,mos\na.wav,9\n", "none of its 1 rows"),
        ("file,mos\na.wav,\x00\xff3\n", "r.csv"),
    ],
)
def test_tables_that_are_none_say_so(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(RatingsError, match=told):
        read_ratings(table_of(tmp_path, "r.csv", text, ("a.wav",)))
    with pytest.raises(RatingsError, match="no such file"):
        read_ratings(tmp_path / "other.csv")
