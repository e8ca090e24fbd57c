from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from dify_cdk.report.templates.joined import join
from dify_cdk.report.templates.subject import Part, Subject


def part(name: str, resources: object, **other: object) -> Part:
    return Part(name=name, template={"Resources": resources, **other})


def queue(**properties: object) -> Mapping[str, object]:
    return {"Type": "AWS::SQS::Queue", "Properties": properties}


DATA = part(
    "Data",
    {"Bucket": {"Type": "AWS::S3::Bucket"}, "Shared": queue(of="data")},
    Outputs={
        "Exported": {"Value": {"Ref": "Bucket"}, "Export": {"Name": "Data:Bucket"}},
        "Weak": {"Value": {"Fn::GetAtt": ["Shared", "Arn"]}},
    },
)
APP = part(
    "My.App",
    {
        "Importer": queue(bucket={"Fn::ImportValue": "Data:Bucket"}),
        "Reader": queue(queue={"Fn::GetStackOutput": {"StackName": "Data", "OutputName": "Weak"}}),
        "Shared": queue(of="app"),
        "Refers": queue(
            ref={"Ref": "Shared"},
            list={"Fn::GetAtt": ["Shared", "Arn"]},
            text={"Fn::GetAtt": "Shared.Arn"},
            sub={"Fn::Sub": "${Shared.Arn} ${!Shared} ${Importer}"},
            both={"Fn::Sub": ["${Shared}-${Local}", {"Local": {"Ref": "Shared"}}]},
            local={"Fn::Sub": ["${Shared}", {"Shared": "mine"}]},
        ),
        "Foreign": queue(of={"Fn::ImportValue": "Unknown"}),
    },
)
TWO = Subject(name="two", parts=(DATA, APP))


class TestJoin:
    def test_an_import_becomes_the_resource_that_another_stack_exports(self) -> None:
        view = join(TWO)
        importer = view.find({"Ref": "Importer"})
        assert importer is not None
        bucket = view.find(importer.properties)
        assert bucket is not None
        assert bucket.id == "Bucket"

    def test_an_output_that_another_stack_reads_becomes_its_resource(self) -> None:
        view = join(TWO)
        reader = view.find({"Ref": "Reader"})
        assert reader is not None
        assert reader.properties["queue"] == {"Fn::GetAtt": ["Shared", "Arn"]}

    def test_a_logical_id_that_both_stacks_use_stays_with_the_first(self) -> None:
        view = join(TWO)
        assert [one.id for one in view.of_type("AWS::SQS::Queue")] == [
            "Shared",
            "Importer",
            "Reader",
            "My-App/Shared",
            "Refers",
            "Foreign",
        ]
        refers = view.find({"Ref": "Refers"})
        assert refers is not None
        assert refers.properties == {
            "ref": {"Ref": "My-App/Shared"},
            "list": {"Fn::GetAtt": ["My-App/Shared", "Arn"]},
            "text": {"Fn::GetAtt": "My-App/Shared.Arn"},
            "sub": {"Fn::Sub": "${My-App/Shared.Arn} ${!Shared} ${Importer}"},
            "both": {"Fn::Sub": ["${My-App/Shared}-${Local}", {"Local": {"Ref": "My-App/Shared"}}]},
            "local": {"Fn::Sub": ["${Shared}", {"Shared": "mine"}]},
        }

    def test_every_way_to_write_a_reference_leads_to_the_renamed_resource(self) -> None:
        view = join(TWO)
        refers = view.find({"Ref": "Refers"})
        assert refers is not None
        for key in ("ref", "list", "text", "sub", "both"):
            found = view.find(refers.properties[key])
            assert found is not None, key
            assert found.properties == {"of": "app"}

    def test_an_import_of_something_else_stays_as_it_is(self) -> None:
        view = join(TWO)
        foreign = view.find({"Ref": "Foreign"})
        assert foreign is not None
        assert view.text(foreign.properties["of"]) == "Unknown"

    def test_parameters_of_all_stacks_are_known(self) -> None:
        first = part("A", {}, Parameters={"P": {"Type": "String"}})
        second = part("B", {"Q": queue(p={"Ref": "P"})}, Parameters={"P": {"Type": "String"}})
        view = join(Subject(name="x", parts=(first, second)))
        q = view.find({"Ref": "Q"})
        assert q is not None
        assert view.text(q.properties["p"]) == "B/P"
        assert view.text({"Ref": "P"}) == "P"

    def test_stacks_that_import_from_one_another_in_a_circle_end(self) -> None:
        def stack(name: str, other: str) -> Part:
            value = {"Fn::ImportValue": other}
            outputs = {"O": {"Value": value, "Export": {"Name": name}}}
            return part(name, {f"Q{name}": queue(v=value)}, Outputs=outputs)

        view = join(Subject(name="x", parts=(stack("A", "B"), stack("B", "A"))))
        assert len(view.resources) == 2

    def test_one_stack_is_left_as_it_is(self) -> None:
        view = join(Subject(name="x", parts=(APP,)))
        assert "Shared" in [one.id for one in view.resources]

    def test_nothing_is_an_empty_template(self) -> None:
        assert join(Subject(name="x", parts=())).resources == ()

    @given(
        st.recursive(
            st.none() | st.booleans() | st.text(max_size=4) | st.sampled_from(["Shared", "A.B"]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["Ref", "Fn::GetAtt", "Fn::Sub", "Fn::ImportValue", "Resources", "Value"]
                    ),
                    inner,
                    max_size=3,
                )
            ),
            max_leaves=12,
        )
    )
    def test_any_template_can_be_joined(self, value: object) -> None:
        odd = Part(name="Odd", template={"Resources": {"Shared": value, "X": {"Properties": value}}})
        full = Part(name="Full", template={"Resources": value, "Outputs": value, "Parameters": value})
        assert join(Subject(name="x", parts=(DATA, odd, full))).resources
