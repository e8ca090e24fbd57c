"""The sections of the HTML page, one module each; ``dify_cdk.report.html`` puts them together."""
