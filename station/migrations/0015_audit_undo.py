"""What a setting was before, so that a person sees it and can take a change back."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("station", "0014_vendor_access")]

    operations = [
        migrations.AddField(model_name="auditentry", name="before", field=models.JSONField(blank=True, default=dict)),
        migrations.AddField(model_name="auditentry", name="undo", field=models.JSONField(blank=True, default=dict)),
        migrations.AddField(
            model_name="auditentry",
            name="takes_back",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="station.auditentry",
            ),
        ),
    ]
