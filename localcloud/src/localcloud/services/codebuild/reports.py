"""Report groups, reports and test cases."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from localcloud.core import Call, Conflict, Credentials, Fault, Service, now, operation, paginate, uuid
from localcloud.services.codebuild import junit
from localcloud.services.codebuild.projects import invalid
from localcloud.services.codebuild.record import Record

Document = dict[str, Any]
GROUPS = "codebuild.report-group"
REPORTS = "codebuild.report"
CASES = "codebuild.report-cases"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-_.]{1,127}")


class ReportOperations(Service):
    """CreateReportGroup, BatchGetReports and their kin."""

    @operation("CreateReportGroup")
    def create_report_group(self, call: Call) -> Document:
        """A report group of a name that is free."""
        name = call.input["name"]
        if not _NAME.fullmatch(name):
            raise invalid(
                f"Invalid report group name '{name}': 2 to 128 letters, digits, hyphens, underscores, periods"
            )
        export = call.input["exportConfig"]
        if export.get("exportConfigType") == "S3":
            raise invalid("exportConfigType S3 is not served by the local cloud; allowed: NO_EXPORT")
        arn = f"arn:aws:codebuild:{call.region}:{call.account}:report-group/{name}"
        moment = now()
        document = {
            "arn": arn, "name": name, "type": call.input["type"], "exportConfig": export, "created": moment,
            "lastModified": moment, "tags": call.input.get("tags", []), "status": "ACTIVE",
        }  # fmt: skip
        try:
            self.cloud.store.table(GROUPS).insert(call.account, call.region, arn, document)
        except Conflict:
            raise Fault("ResourceAlreadyExistsException", f"Report group already exists: {arn}") from None
        return {"reportGroup": document}

    @operation("UpdateReportGroup")
    def update_report_group(self, call: Call) -> Document:
        """Replace tags and export."""
        document = self._group(call, call.input["arn"])
        document.update({key: call.input[key] for key in ("exportConfig", "tags") if key in call.input})
        document["lastModified"] = now()
        self.cloud.store.table(GROUPS).put(call.account, call.region, document["arn"], document)
        return {"reportGroup": document}

    def _group(self, call: Call, arn: str) -> Document:
        document = self.cloud.store.table(GROUPS).get(call.account, call.region, arn)
        if document is None:
            raise Fault("ResourceNotFoundException", f"Report group cannot be found: {arn}")
        return document

    @operation("BatchGetReportGroups")
    def batch_get_report_groups(self, call: Call) -> Document:
        """Report groups by ARN."""
        found, missing = self._batch(GROUPS, call, call.input["reportGroupArns"])
        return {"reportGroups": found, "reportGroupsNotFound": missing or None}

    @operation("ListReportGroups")
    def list_report_groups(self, call: Call) -> Document:
        """ARNs, by name."""
        arns = sorted(document["arn"] for document in self.cloud.store.table(GROUPS).list(call.account, call.region))
        return self._page(call, arns, "reportGroups")

    @operation("DeleteReportGroup")
    def delete_report_group(self, call: Call) -> Document:
        """Delete a group; one that has reports only with deleteReports."""
        arn = call.input["arn"]
        reports = self._reports(call, arn)
        if reports and not call.input.get("deleteReports"):
            raise invalid(f"Report group {arn} has {len(reports)} reports; delete them first, or set deleteReports")
        for report in reports:
            self._delete_report(call, report["arn"])
        self.cloud.store.table(GROUPS).delete(call.account, call.region, arn)
        return {}

    @operation("BatchGetReports")
    def batch_get_reports(self, call: Call) -> Document:
        """Reports by ARN."""
        found, missing = self._batch(REPORTS, call, call.input["reportArns"])
        return {"reports": found or None, "reportsNotFound": missing or None}

    @operation("ListReports")
    def list_reports(self, call: Call) -> Document:
        """ARNs, newest first."""
        return self._page(call, self._arns(call, None), "reports")

    @operation("ListReportsForReportGroup")
    def list_reports_for_report_group(self, call: Call) -> Document:
        """ARNs of a group's reports, newest first."""
        self._group(call, call.input["reportGroupArn"])
        return self._page(call, self._arns(call, call.input["reportGroupArn"]), "reports")

    @operation("DeleteReport")
    def delete_report(self, call: Call) -> Document:
        """Delete a report with its test cases."""
        self._delete_report(call, call.input["arn"])
        return {}

    @operation("DescribeTestCases")
    def describe_test_cases(self, call: Call) -> Document:
        """The test cases of a report."""
        arn = call.input["reportArn"]
        document = self.cloud.store.table(CASES).get(call.account, call.region, arn)
        if document is None:
            raise Fault("ResourceNotFoundException", f"Report cannot be found: {arn}")
        wanted = call.input.get("filter", {})
        found = [
            {"reportArn": arn, **case}
            for case in document["cases"]
            if case["status"] == wanted.get("status", case["status"]) and wanted.get("keyword", "") in case["name"]
        ]
        return self._page(call, found, "testCases")

    def add_report(
        self, record: Record, credentials: Credentials, group: str, cases: Sequence[Document], *, complete: bool
    ) -> str:
        """Add a build's report to a group, which is made in the build's name where a name and no ARN is given.

        Returns:
            The report's ARN.
        """
        account, region = record.account, record.region
        build = record.read()
        arn = group
        if not group.startswith("arn:"):
            name = f"{build['projectName']}-{group}"
            arn = f"arn:aws:codebuild:{region}:{account}:report-group/{name}"
        if self.cloud.store.table(GROUPS).get(account, region, arn) is None:
            if group.startswith("arn:"):
                raise Fault("ResourceNotFoundException", f"Report group cannot be found: {arn}")
            credentials.client("codebuild").create_report_group(
                name=name, type="TEST", exportConfig={"exportConfigType": "NO_EXPORT"}
            )
        report = arn.replace(":report-group/", ":report/") + f":{uuid()}"
        status = "INCOMPLETE" if not complete else "SUCCEEDED" if junit.succeeded(cases) else "FAILED"
        kept = sorted(cases, key=lambda case: case["status"] in ("SUCCEEDED", "SKIPPED"))[: junit.KEPT]
        document = {
            "arn": report, "type": "TEST", "name": report.rsplit("/", 1)[-1], "reportGroupArn": arn,
            "executionId": build["arn"], "status": status, "created": now(),
            "exportConfig": {"exportConfigType": "NO_EXPORT"}, "truncated": len(cases) > junit.KEPT,
            "testSummary": junit.summary(cases),
        }  # fmt: skip
        with self.cloud.store.transaction():
            self.cloud.store.table(REPORTS).put(account, region, report, document)
            self.cloud.store.table(CASES).put(account, region, report, {"cases": kept})
        record.change(lambda found: found.update(reportArns=[*found.get("reportArns", []), report]))
        return report

    def _batch(self, table: str, call: Call, arns: Sequence[str]) -> tuple[list[Document], list[str]]:
        read = {arn: self.cloud.store.table(table).get(call.account, call.region, arn) for arn in arns}
        return [item for item in read.values() if item], [arn for arn, item in read.items() if item is None]

    def _reports(self, call: Call, group: str | None) -> list[Document]:
        reports = self.cloud.store.table(REPORTS).list(call.account, call.region)
        status = call.input.get("filter", {}).get("status")
        return [
            report
            for report in reports
            if group in (None, report["reportGroupArn"]) and status in (None, report["status"])
        ]

    def _arns(self, call: Call, group: str | None) -> list[str]:
        arns = [report["arn"] for report in self._reports(call, group)]
        return arns if call.input.get("sortOrder") == "ASCENDING" else arns[::-1]

    def _delete_report(self, call: Call, arn: str) -> None:
        with self.cloud.store.transaction():
            self.cloud.store.table(REPORTS).delete(call.account, call.region, arn)
            self.cloud.store.table(CASES).delete(call.account, call.region, arn)

    def _page(self, call: Call, items: Sequence[Any], member: str) -> Document:
        page, token = paginate(items, call.input, error="InvalidInputException")
        return {member: page, "nextToken": token}
