"""Where a root certificate has come from; the mark nobody set goes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("station", "0008_energy_curve")]

    operations = [
        migrations.RemoveField(model_name="trustedcertificate", name="confirmed"),
        migrations.AddField(
            model_name="trustedcertificate",
            name="from_unproven_link",
            field=models.BooleanField(default=False),
        ),
    ]
