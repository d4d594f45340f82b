"""Tests of report.py: python3 -m unittest discover --start-directory benches --pattern '*_test.py'"""

import contextlib
import io
import json
import tempfile
import unittest
import xml.dom.minidom
from pathlib import Path

import report


def document(targets, mode="throughput"):
    """Builds a document as `blipmq bench --json` prints it; `targets` are lists of rounds."""
    return {
        "mode": mode,
        "targets": [
            {
                "clean": all(one.get("clean", True) for one in rounds),
                "generator_was_bottleneck": False,
                "neither_was_busy": False,
                "rounds": rounds,
            }
            for rounds in targets
        ],
    }


def rounds(*cpu, rate=1e6, **more):
    return [{report.CPU: ns, report.RATE: rate, **more} for ns in cpu]


def run(name, targets, found, **more):
    return report.Run(name, more.pop("title", name), targets.split(","), document=found, **more)


def cells(table):
    """Splits a Markdown table without its head into rows of cells."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def assert_xml(svg):
    xml.dom.minidom.parseString(svg)
    assert "nan" not in svg.lower() and "inf" not in svg, svg


class Numbers(unittest.TestCase):
    def test_numbers_have_three_digits_and_a_unit(self):
        self.assertEqual(report.digits(0), "0")
        self.assertEqual(report.digits(1234.5), "1,234")
        self.assertEqual(report.digits(99.96), "100")
        self.assertEqual(report.digits(12.34), "12.3")
        self.assertEqual(report.digits(1.234), "1.23")
        self.assertEqual(report.count(31.4e6), "31.4 M")
        self.assertEqual(report.micros(1500), "1.50 ms")
        self.assertEqual(report.size(1536), "1.50 KiB")

    def test_spread_is_median_minimum_and_maximum(self):
        self.assertEqual(report.spread([30, 10, 20]), "20.0 (10.0-30.0)")
        self.assertEqual(report.spread([10]), "10.0")
        self.assertEqual(report.spread([]), "-")

    def test_ratio_is_of_rounds_not_of_medians(self):
        # The second round was slow for both.
        self.assertEqual(report.ratio([20, 80, 22], [10, 40, 11]), "2.00x")
        self.assertEqual(report.ratio([20], [0]), "-")
        self.assertEqual(report.ratio([], [1]), "-")


class Runs(unittest.TestCase):
    def test_lines_are_parsed_with_their_documents(self):
        text = "a\t1:1, 64 B\tblip,floor\t4096\t4000\t108.0\t800\t2\nb\tB\tblip\n"
        found = report.read_runs(text, {"a": document([rounds(1), rounds(2)])}.get)
        self.assertEqual(found[0].values("floor", report.CPU), [2])
        self.assertEqual((found[0].chunk, found[0].floor_bytes, found[0].floor_sends), (4096, 800, 2))
        self.assertEqual((found[1].mode, found[1].values("blip", report.CPU)), ("failed", []))

    def test_unclean_targets_are_named(self):
        one = run("a", "blip,nats", document([rounds(1), rounds(1, clean=False)]))
        self.assertEqual(report.clean(one), "NOT CLEAN: nats")
        self.assertEqual(report.clean(one, ["blip"]), "yes")
        self.assertEqual(report.clean(run("a", "blip", None)), "FAILED")

    def test_limits_other_than_the_broker_are_named(self):
        found = document([rounds(1), rounds(1), rounds(1)])
        found["targets"][1]["generator_was_bottleneck"] = True
        found["targets"][2]["neither_was_busy"] = True
        one = run("a", "blip,nats,redis", found)
        self.assertEqual(report.limited_by(one), "generator: nats; neither: redis")
        self.assertEqual(report.limited_by(one, ["blip"]), "broker")
        self.assertEqual(report.limited_by(run("a", "blip", document([rounds(1)], "rtt"))), "-")


class Compare(unittest.TestCase):
    def test_a_row_per_shape_with_ratios_to_blip_and_floor(self):
        found = document([rounds(10, 12, 11), rounds(40, 48, 44), rounds(10, 12, 11, rate=2e6)])
        one = run("fan", "blip,nats,floor", found, title="1:48")
        [row] = cells(report.cpu_table([one]))
        self.assertEqual(row[:4], ["1:48", "11.0 (10.0-12.0)", "44.0 (40.0-48.0)", "11.0 (10.0-12.0)"])
        self.assertEqual(row[4:], ["1.00x", "4.00x", "1.00 M", "1.00 M", "yes", "broker"])

    def test_a_missing_rival_has_dashes_instead_of_zeros(self):
        runs = [
            run("a", "blip,redis", document([rounds(1), rounds(2)])),
            run("b", "blip", document([rounds(1)])),
            run("c", "blip,redis", None),
        ]
        rows = cells(report.cpu_table(runs))
        self.assertEqual([row[2] for row in rows], ["2.00", "-", "-"])
        self.assertEqual(rows[2][-2:], ["FAILED", "-"])

    def test_idle_runs_are_single_rounds(self):
        def idle(bytes_each):
            one = {"resident_bytes_per_connection": bytes_each, "cpu_percent": 0.01}
            return document([[{**one, "resident_bytes_before": 1024}]], "idle")

        runs = [run(f"idle_{at}", "blip", idle(at * 1024)) for at in (1, 2, 3)]
        [row] = cells(report.idle_table(runs))
        self.assertEqual(row[2:], ["2.00 KiB (1.00 KiB-3.00 KiB)", "1.00 KiB", "0.010 %", "yes"])
        [row] = cells(report.idle_table([*runs, run("idle_4", "blip", None)]))
        self.assertEqual(row[-1], "FAILED")

    def test_report_has_all_parts(self):
        timed = rounds(9, latency_p50_us=50.0, latency_p99_us=1500.0, latency_p999_us=None)
        connect = {"broker_cpu_us_per_connect": 100.0, "connects_per_broker_cpu_s": 10_000.0}
        runs = [
            run("one", "blip,floor", document([rounds(8), rounds(4)]), floor_bytes=90, floor_sends=9),
            run("rate", "blip", document([timed], "latency")),
            run("rtt", "blip", document([timed], "rtt")),
            run("idle_1", "blip", document([[{"resident_bytes_per_connection": 9}]], "idle")),
            run("batch_one", "blip", document([rounds(2)])),
            run("nats_one", "blip,nats", document([rounds(100), rounds(300)])),
            run("nats_rtt", "blip", document([timed], "rtt")),
            run("tls_one", "blip,blips", document([rounds(10, 20), rounds(20, 50)])),
            run("tls_rate", "blips", document([timed], "latency")),
            run("tls_connects", "blips,nats tls", document([[connect], []], "connects")),
            run("cores_one", "1 executor,2 executors", document([rounds(8), rounds(10)])),
        ]
        text = report.compare(runs)
        self.assertEqual(text.count("## "), 9)
        self.assertIn("| rtt | blip | 50.0 us | 1.50 ms | - |", text)
        self.assertIn("| batch_one | 2.00 | 8.00 |", text)
        self.assertIn("| nats_one | 100 | 300 | 3.00x |", text)
        self.assertIn("| nats_rtt | 9.00 | - | - | 1.00 M | - | 50.0 us | - | 1.50 ms | - |", text)
        self.assertIn("| tls_one | 15.0 (10.0-20.0) | 35.0 (20.0-50.0) | 2.25x | - | - | - |", text)
        self.assertIn("| tls_rate | - | 9.00 | - | - | - | - | - | - | - | - | 50.0 us | - | - |", text)
        self.assertIn("| tls_connects | blips | 100 | 10.0 k | yes |", text)
        self.assertIn("| tls_connects | nats tls | - | - | yes |", text)
        self.assertIn("| cores_one | 8.00 | 10.0 | 1.25x |", text)
        # A bar and its number for each measured target.
        svg = report.bars("<t>", runs[:2])
        assert_xml(svg)
        self.assertEqual((svg.count("<rect"), svg.count(" ns</text>")), (3, 3))


class Growth(unittest.TestCase):
    def curve(self):
        runs = [
            run(f"idle.{x}", "1 executor,floor", document([rounds(ns), rounds(10)]), title="Idle")
            for x, ns in [(0, 10), (1, 20), (100, 40)]
        ]
        [curve] = report.curves_of(runs)
        return curve

    def test_rows_have_ratios_to_the_first_point(self):
        rows = cells(report.curve_table(self.curve()))
        self.assertEqual([row[0] for row in rows], ["0", "1", "100"])
        self.assertEqual([row[4] for row in rows], ["1.00x", "2.00x", "4.00x"])
        self.assertEqual([row[3] for row in rows], ["1.00x", "2.00x", "4.00x"])

    def test_a_failed_point_is_in_the_table_and_not_in_the_plot(self):
        curve = self.curve()
        curve.points.append((200, run("idle.200", "1 executor,floor", None)))
        self.assertEqual(cells(report.curve_table(curve))[3][-2:], ["FAILED", "-"])
        self.assertEqual([x for x, _ in curve.series()["1 executor"]], [0, 1, 100])

    def test_plots_are_drawn_from_none_one_and_many_points(self):
        curve = self.curve()
        many = report.lines("a < b", "idle", curve.series(), curve.show_x)
        assert_xml(many)
        self.assertEqual((many.count("<polyline"), many.count("<circle")), (2, 6))
        assert_xml(report.lines("t", "x", {}))
        assert_xml(report.lines("t", "x", {"one": [(0, 5.0)]}))
        # A wide range has a logarithmic axis.
        wide = report.lines("t", "x", {"one": [(1, 5.0), (1024, 9000.0)]})
        assert_xml(wide)
        self.assertIn(">10,000<", wide)

    def test_sizes_are_shown_with_units(self):
        curve = report.Curve("size")
        self.assertEqual([curve.show_x(x) for x in (16, 1024, 65536)], ["16 B", "1 KiB", "64 KiB"])


class Profiles(unittest.TestCase):
    def runs(self):
        timed = {"latency_p50_us": 200, "latency_p99_us": 1500, "broker_resident_bytes": 2**20}
        together = document([rounds(10, **timed), rounds(20, **timed), rounds(30, **timed)])
        names = "high-throughput,mixed,low-latency"
        alone = [
            run(f"half_{name}_{number}", name, document([rounds(ns)]), title="half")
            for name, ns in [("mixed", 20), ("low-latency", 40)]
            for number in (1, 2)
        ]
        return [run("same", names, together, title="same"), *alone]

    def test_a_table_for_each_title_and_a_row_for_each_profile(self):
        text = report.profiles(self.runs())
        first, second = text.split("## same\n")[1].split("## half\n")
        rows = cells(first)
        self.assertEqual([row[0] for row in rows], ["high-throughput", "mixed", "low-latency"])
        self.assertEqual(rows[1][1:6], ["20.0", "1.00 M", "200 us", "1.50 ms", "1.00 MiB"])
        # Each round of a single profile is a run of its own.
        self.assertEqual(
            [(row[0], row[1], row[3]) for row in cells(second)],
            [("mixed", "20.0 (20.0-20.0)", "-"), ("low-latency", "40.0 (40.0-40.0)", "-")],
        )

    def test_a_failed_or_unclean_run_is_marked_in_its_row(self):
        runs = self.runs()
        runs[1].document = None
        runs[3].document["targets"][0]["clean"] = False
        rows = cells(report.profiles(runs).split("## half\n")[1])
        self.assertEqual(rows[0][6:], ["FAILED", "-; broker"])
        self.assertEqual(rows[1][6], "NOT CLEAN: low-latency")
        self.assertEqual(rows[0][1], "20.0")


class Files(unittest.TestCase):
    def test_tables_and_plots_are_written_beside_the_documents(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "growth").mkdir()
            (folder / "growth.md").write_text("# head\n")
            (folder / "runs.tsv").write_text("one\t1:1\tblip\nlost\tgone\tblip\n")
            (folder / "one.json").write_text(json.dumps(document([rounds(5)])))
            (folder / "lost.json").write_text("")
            (folder / "growth/runs.tsv").write_text("subs.1\tSubscribers\t1 executor\n")
            (folder / "growth/subs.1.json").write_text(json.dumps(document([rounds(5)])))
            self.assertEqual(report.main(["compare", name]), 0)
            self.assertEqual(report.main(["growth", name]), 0)
            self.assertIn("FAILED", (folder / "table.md").read_text())
            assert_xml((folder / "cpu.svg").read_text())
            assert_xml((folder / "growth-subs.svg").read_text())
            self.assertIn("(growth-subs.svg)", (folder / "growth.md").read_text())

    def test_the_table_of_profiles_is_written_beside_its_documents(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "runs.tsv").write_text("one\t1:48\tmixed\n")
            (folder / "one.json").write_text(json.dumps(document([rounds(5)])))
            self.assertEqual(report.main(["profiles", name]), 0)
            self.assertIn("| mixed | 5.00 |", (folder / "table.md").read_text())

    def test_the_table_of_two_binaries_is_written_beside_its_documents(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            names = ["nats_one\t1:1", "lost\tgone", "blips_one\t1:1", "tls_one\t1:1"]
            (folder / "runs.tsv").write_text("".join(f"{name}\tbefore,after\n" for name in names))
            (folder / "nats_one.json").write_text(json.dumps(document([rounds(4, 5), rounds(8, 5)])))
            self.assertEqual(report.main(["pair", name]), 0)
            text = (folder / "table.md").read_text()
            rows = cells(text)
            self.assertEqual(rows[0][:2], ["1:1", "NATS"])
            self.assertEqual(rows[0][4:6], ["1.50x", "1.00-2.00"])
            self.assertEqual(rows[1][2:6], ["-", "-", "-", "-"])
            self.assertEqual(rows[1][10], "FAILED")
            self.assertEqual([row[1] for row in rows[1:]], ["BLIP/1", "BLIP/1, TLS", "NATS, TLS"])

    def test_an_invalid_command_line_prints_the_usage(self):
        with contextlib.redirect_stderr(io.StringIO()) as stderr:
            self.assertEqual(report.main(["both", "."]), 2)
        self.assertIn("usage", stderr.getvalue())


if __name__ == "__main__":
    unittest.main()
