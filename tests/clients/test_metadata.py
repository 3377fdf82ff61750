"""What clients are told about repositories, and the exceptions they make of errors."""

import unittest

import content
from huggingface_hub import HfApi, HfFileSystem, get_safetensors_metadata, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError


class Metadata(unittest.TestCase):
    api = HfApi()

    def test_a_model_tells_its_files_sizes_and_card(self):
        info = self.api.model_info("alice/model", files_metadata=True)
        sizes = {file.rfilename: file.size for file in info.siblings}
        self.assertEqual(sizes, {name: len(data) for name, data in content.model(11).items()})
        self.assertEqual((info.id, info.card_data.license), ("alice/model", "apache-2.0"))
        large = next(file for file in info.siblings if file.rfilename == "weights/large.bin")
        self.assertEqual(large.lfs.size, content.LARGE)

    def test_trees_are_listed_by_folder_and_with_their_last_commits(self):
        everything = [entry.path for entry in self.api.list_repo_tree("alice/model", recursive=True)]
        self.assertIn("sub/folder/of", everything)
        self.assertTrue(set(content.model(11)) < set(everything))
        inside = list(self.api.list_repo_tree("alice/model", "sub/folder", expand=True))
        self.assertEqual([entry.path for entry in inside], ["sub/folder/of"])
        self.assertEqual(inside[0].last_commit.title, "first")
        found = self.api.get_paths_info("alice/model", ["config.json", "sub", "missing"], expand=True)
        self.assertEqual(sorted(entry.path for entry in found), ["config.json", "sub"])

    def test_references_and_history_are_listed(self):
        refs = self.api.list_repo_refs("alice/model")
        self.assertLessEqual({"main", "side/line"}, {branch.name for branch in refs.branches})
        self.assertIn("v1", {tag.name for tag in refs.tags})
        titles = [commit.title for commit in self.api.list_repo_commits("alice/model")]
        self.assertEqual(titles[:2], ["second", "first"])

    def test_repositories_are_found_by_name_author_and_tag(self):
        for wanted in ({"search": "mod"}, {"author": "alice"}, {"filter": "loom"}, {"limit": 1, "author": "alice"}):
            self.assertIn("alice/model", [model.id for model in self.api.list_models(**wanted)], wanted)
        self.assertEqual(list(self.api.list_models(search="nothing-of-that-name")), [])
        self.assertIn("alice/rows", [dataset.id for dataset in self.api.list_datasets(author="alice")])

    def test_tensors_are_read_without_the_file(self):
        self.assertIn("weight", get_safetensors_metadata("alice/model").weight_map)

    def test_the_file_system_lists_and_seeks(self):
        system = HfFileSystem()
        self.assertIn("alice/model/config.json", system.ls("alice/model", detail=False))
        with system.open("alice/model/weights/large.bin", "rb", block_size=65536) as file:
            file.seek(content.LARGE - 9)
            self.assertEqual(file.read(), content.model(11)["weights/large.bin"][-9:])

    def test_errors_become_the_right_exceptions(self):
        for wrong, call in [
            (EntryNotFoundError, lambda: hf_hub_download("alice/model", "missing.txt")),
            (EntryNotFoundError, lambda: list(self.api.list_repo_tree("alice/model", "missing"))),
            (RevisionNotFoundError, lambda: hf_hub_download("alice/model", "config.json", revision="missing")),
            (RevisionNotFoundError, lambda: self.api.model_info("alice/model", revision="missing")),
            (RepositoryNotFoundError, lambda: hf_hub_download("alice/missing", "config.json")),
            (RepositoryNotFoundError, lambda: self.api.dataset_info("alice/model")),
            (RepositoryNotFoundError, lambda: self.api.model_info("nobody/model")),
        ]:
            with self.assertRaises(wrong):
                call()
        self.assertFalse(self.api.file_exists("alice/model", "missing"))
        self.assertFalse(self.api.repo_exists("alice/missing"))
        self.assertFalse(self.api.revision_exists("alice/model", "missing"))
